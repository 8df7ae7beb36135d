"""How each kind of backend writes: our requests in its words, and its replies and streams as our events."""
