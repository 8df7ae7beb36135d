"""Chat Completions: the format that most servers speak, each a little differently."""
