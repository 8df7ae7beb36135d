"""What lint looks for, one kind of mistake in each file; lint.py beside this folder calls them.

guards.py      what one guard says of another
shadows.py     transitions that are never taken
loops.py       states that lead to one another without waiting for the person
unused.py      slots that nothing uses
values.py      comparisons with what a slot cannot be
interrupts.py  interrupts after which the flow cannot go on
arguments.py   arguments that a tool does not take
"""
