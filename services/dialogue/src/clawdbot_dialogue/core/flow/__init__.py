"""The flow language: from a YAML file to a checked, compiled, immutable flow. Knows nothing of conversations."""
