"""Counts tokens: by the backend, by a tokenizer file, or as an estimate."""
