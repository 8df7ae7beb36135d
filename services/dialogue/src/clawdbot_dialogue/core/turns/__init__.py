"""The turn engine: accepts inputs, runs the machine and what it asks for, streams events and commits results.

engine.py           the engine as its callers see it; puts the parts together
admission.py        takes inputs in
cancellation.py     ends turns that nobody wants any more
lease_table.py      the sessions that this process leases, and their turns
opening_turn.py     the first turn of a session, run while the session is created
session_runner.py   the turns of one leased session, one after the other
turn_attempt.py     one attempt at one turn
step_loop.py        drives the machine through a turn
generation.py       a model's reply
llm_commands.py     a model's commands for a message
model_call.py       one call of a model
context_window.py   the part of the transcript that a model is shown
tool_calls.py       tool calls and their journal
turn_record.py      what a turn has done so far
explanation.py      why it did so
inputs.py           inputs as the machine takes them
active_turn.py      a turn that runs or waits in this process
subscription.py     one caller's view of a turn
maintenance.py      renews leases, recovers orphaned turns, fires timers
task_supervisor.py  runs the tasks of all that
hook_events.py      events for observer hooks
ports.py            what the engine needs from outside
"""
