"""What the gateway and its callers make of a reply's events: the whole reply, and what it cost."""
