"""`clawdbot flow …`: write, check, draw and test conversations, without a server.

app.py              the subcommands and their options
places.py           which files a path means, and what is in them
uncollected.py      large flows without the garbage collector
linting.py          `flow lint`; known.py: which tools and models there are; lint_report.py: what it says
testing.py          `flow test`; neighbours.py: where its flows are; trial_report.py, junit.py: what it says
creating.py         `flow new`, from templates/
drawing.py          `flow graph`
watching.py         `flow watch`
"""
