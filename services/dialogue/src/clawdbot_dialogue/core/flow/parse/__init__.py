"""From text to the source model: YAML with positions, schema validation, one document per language."""
