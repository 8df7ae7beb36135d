"""The pure machine: (flows, snapshot, event) → (snapshot, effects). No input or output, no clock, no
randomness."""
