"""CEL expressions: compiled once, checked against the declared slots, evaluated in a step."""
