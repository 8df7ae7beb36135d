"""The other services as the engine's ports see them, over generated stubs."""
