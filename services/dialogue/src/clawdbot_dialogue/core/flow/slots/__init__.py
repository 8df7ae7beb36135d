"""Typed slots: what a flow asks the person for.

slot.py defines Slot and SlotType; types.py lists the types, of which each family has a file of its own;
partial_values.py puts values together over several messages, and validation.py checks values from callers.
"""
