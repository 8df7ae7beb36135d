"""The domain of the dialogue service: flows, understanding, the machine, sessions. No transport, no database."""
