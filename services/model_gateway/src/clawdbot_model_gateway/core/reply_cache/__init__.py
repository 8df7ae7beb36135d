"""Replies that are served again, and calls that equal requests share.

The way of a request: rules.py decides whether it may use the cache, key.py what it has in common with equal
requests, cached_replies.py looks in the caches (port.py), and flight.py shares one call among its followers;
similar_requests.py finds a request that means the same, where wording.py allows it. cached_vectors.py does
for the texts of Embed what cached_replies.py does for replies.
"""
