"""What callers may use, and what they have used: requests, tokens, money and calls at the same time.

Limits are checked when a call is admitted and settled when it ends; usage is added up for GetUsage.
"""
