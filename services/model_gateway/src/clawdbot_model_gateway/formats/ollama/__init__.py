"""Ollama's own protocol: JSON in, lines of JSON out."""
