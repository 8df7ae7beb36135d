"""From text to the source model: YAML with positions, the schema of a flow file, a document per language."""
