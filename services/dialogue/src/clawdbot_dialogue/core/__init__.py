"""The domain of the dialogue service: flows, understanding, the machine, sessions, turns. No transport."""
