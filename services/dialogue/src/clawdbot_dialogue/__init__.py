"""The dialogue service: a finite state machine drives durable multi-turn conversations."""
