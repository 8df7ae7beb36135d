"""The model gateway: one standard request and reply for every language model."""
