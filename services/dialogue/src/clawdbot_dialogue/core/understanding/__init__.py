"""What a person said, as typed commands.

Rules only: no model, no clock, no network; the same text in the same place gives the same commands.
"""
