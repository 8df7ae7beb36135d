"""What a person said, as typed commands. Rules only: no model, no clock, no network; the same text gives the
same commands."""
