"""One file for each kind of backend: its settings, its connections, and how requests reach it."""
