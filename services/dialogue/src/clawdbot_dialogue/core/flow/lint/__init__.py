"""Checks for likely mistakes in a flow that compiles: one check per file, with the codes that it reports.

linter.py                   runs the checks of one flow
unreachable_states.py       unreachable: states that can never be entered
missing_transitions.py      dead-end, no-default, no-error-branch: states without a way to continue
unreachable_transitions.py  shadowed: transitions that are never taken
missing_questions.py        no-question: slots that are asked for without a question
unset_reads.py              missing-value, maybe-missing: values that may not exist where they are used
unused_slots.py             unused-slot: slots that nothing uses
impossible_values.py        not-a-value: comparisons with values that a slot cannot have
loops.py                    loop: states that lead to each other without waiting for the person
interrupts.py               cannot-resume: interrupts and subflows after which the flow cannot continue
tool_arguments.py           tool-argument: arguments that a tool's schema rejects

analysis/                   what the checks build on
  control_flow.py             successors and reachability
  cycles.py                   strongly connected components, shortest cycles
  definite_assignment.py      the slots that certainly have a value in each state
  guard_implication.py        whether one guard implies another
"""
