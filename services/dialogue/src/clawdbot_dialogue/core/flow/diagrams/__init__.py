"""Flows as diagrams: one model of nodes and edges, and a writer for each diagram language."""
