"""What a process remembers until it ends."""
