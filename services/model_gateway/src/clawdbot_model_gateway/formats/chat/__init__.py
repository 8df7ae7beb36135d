"""Chat Completions on the wire: what most servers speak, and speak a little differently."""
