"""Runs conversation files: tests of flows, written in YAML and run on the pure machine.

There is no server, model or tool: stubs in the file answer for the model and the tools.

test_file.py            the models of a conversation file, and its parser
references.py           checks the names in a file against the flows
runner.py               runs the conversations
tool_stubs.py           answers tool calls
step_result.py          what happened in one step
assertions.py           compares that with what was expected
transition_coverage.py  the edges of a flow, and those that a step took
coverage.py             the share of states and edges that the conversations covered
"""
