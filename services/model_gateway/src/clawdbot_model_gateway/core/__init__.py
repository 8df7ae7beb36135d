"""The gateway's domain: what a model is asked, who answers, and what happens when nobody does.

It speaks the contract's own messages (they are the model abstraction) and knows neither gRPC nor HTTP.
"""
