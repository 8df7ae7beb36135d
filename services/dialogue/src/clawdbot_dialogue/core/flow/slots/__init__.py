"""Slots: what a flow wants to know, typed.

slot.py says what a slot and a type of slot are, types.py lists the types, one file for each family of them;
compiling.py makes slots from a flow's source, and validating.py checks what comes from outside.
"""
