"""Ollama's own protocol: requests in JSON, replies in lines of JSON."""
