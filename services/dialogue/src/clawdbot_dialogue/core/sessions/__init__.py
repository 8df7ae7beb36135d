"""Sessions: the records of a conversation, and the port to the store that keeps them."""
