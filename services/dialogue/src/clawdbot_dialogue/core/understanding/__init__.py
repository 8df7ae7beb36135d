"""Natural-language understanding: turns a message into typed commands.

Rules only: no model, no clock, no network. The same text in the same context always gives the same commands.
"""
