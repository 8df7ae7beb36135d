"""The domain: which plugins there are, how tools run and hooks are asked. Knows no transport."""
