"""HTTP as the providers need it: a pool of connections for each backend, and what its failures mean."""

from clawdbot_model_gateway.http.error_mapping import VendorErrors
from clawdbot_model_gateway.http.pool import HttpPool
from clawdbot_model_gateway.http.response_stream import Answering, streamed

__all__ = ["Answering", "HttpPool", "VendorErrors", "streamed"]
