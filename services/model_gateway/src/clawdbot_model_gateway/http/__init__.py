"""HTTP for the providers: a connection pool per backend, streamed responses, and the mapping of errors."""

from clawdbot_model_gateway.http.error_mapping import VendorErrors
from clawdbot_model_gateway.http.pool import HttpPool
from clawdbot_model_gateway.http.response_stream import Answering, streamed

__all__ = ["Answering", "HttpPool", "VendorErrors", "streamed"]
