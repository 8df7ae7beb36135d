"""The dialogue service's domain: language, flows, understanding, machine, sessions, turns. No transport."""
