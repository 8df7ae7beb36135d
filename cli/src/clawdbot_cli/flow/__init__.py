"""`clawdbot flow`: write, check, test and draw flows, without a server.

app.py                the subcommands and their options
file_discovery.py     which files a path means, and what they contain
flow_resolution.py    finds the flows that a file names
gc_pause.py           keeps the garbage collector from slowing down large flows
lint.py               `flow lint`; available_tools.py: known tools and models; lint_report.py: the output
test_run.py           `flow test`; test_report.py, junit.py: the output
scaffold.py           `flow new`, from templates/
graph.py              `flow graph`
watch.py              `flow watch`
"""
