"""The pure machine: (flows, snapshot, event) → (snapshot, effects).

No input or output, no clock, no randomness.

    events.py    what goes in
    effects.py   what comes out
    snapshot.py  Snapshot, with to_json and from_json
    step.py      begin, step
"""
