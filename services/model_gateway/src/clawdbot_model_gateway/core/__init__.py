"""The gateway's domain: requests to models, which backend answers, and what happens when none does.

It uses the protobuf messages of the contract as its model abstraction and knows neither gRPC nor HTTP.
"""
