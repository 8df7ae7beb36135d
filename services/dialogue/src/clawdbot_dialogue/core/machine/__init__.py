"""The dialogue state machine, a pure function: (flows, snapshot, event) → (snapshot, effects).

No I/O, no clock, no randomness.

    events.py             inputs
    effects.py            outputs
    snapshot.py           Snapshot, with to_json and from_json
    step.py               begin and step: what each event does
    step_context.py       the conversation during a step
    command_processor.py  what a message does
    llm_fallback.py       when a model is asked what a message means
    slot_filling.py       what is asked for next, and what an answer fills
    interpreter.py        the loop of microsteps
    transitions.py        exiting and entering states
    state_behaviors.py    what each kind of state does
    scope.py              what guards and templates see
    step_result.py        StepResult, with the trace of how the step got there
"""
