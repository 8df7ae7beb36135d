"""Flows as diagrams: one picture of states and ways, and a writer for each language that it is told in."""
