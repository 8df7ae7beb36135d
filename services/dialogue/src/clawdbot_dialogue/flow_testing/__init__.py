"""Conversations written down as tests of flows, and their runner on the pure machine.

There is no server, no model and no tool: a file holds what they answer.
"""
