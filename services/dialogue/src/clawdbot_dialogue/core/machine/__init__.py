"""The pure machine: (flows, snapshot, event) → (snapshot, effects).

No input or output, no clock, no randomness.

    events.py    what goes in
    effects.py   what comes out
    snapshot.py  Snapshot, with to_json and from_json
    step.py      begin, step: what each event does
    hearing.py   what a message does
    running.py   the loop of micro-steps
    moving.py    leaving and entering states
    states.py    what each kind of state does
    progress.py  the conversation in the middle of a step
    trace.py     why it went that way
"""
