"""The turn engine: takes inputs in, has the machine step, carries out what it asks for, commits, tells.

engine.py       accept, join, cancel; owns every task
following.py    one caller's view of a turn
runner.py       a claimed session's turns, one after the other
performance.py  one attempt at one turn
generation.py   the model's share of it
calls.py        tool calls, journalled
record.py       what a turn has come to so far
tasks.py        the tasks of all that
history.py      what of the transcript a model is shown
notices.py      what observers are told
live.py         turns under way in this process
caretaker.py    claims renewed, turns of dead owners taken over, timers fired
ports.py        the model gateway, the tools, the hooks, as the engine needs them
"""
