"""The model gateway: one request and one reply format for every language model."""
