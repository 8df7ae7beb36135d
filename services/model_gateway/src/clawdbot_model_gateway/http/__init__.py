"""HTTP for the providers: a connection pool per backend, streamed responses, and the mapping of errors."""

from clawdbot_model_gateway.http.error_mapper import ErrorMapper
from clawdbot_model_gateway.http.exchange import Response
from clawdbot_model_gateway.http.pool import HttpPool
from clawdbot_model_gateway.http.response_stream import OpenResponse, stream_events

__all__ = ["ErrorMapper", "HttpPool", "OpenResponse", "Response", "stream_events"]
