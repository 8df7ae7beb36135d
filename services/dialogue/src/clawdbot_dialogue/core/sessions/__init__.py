"""Sessions: what is kept of a conversation, and the port through which it is kept."""
