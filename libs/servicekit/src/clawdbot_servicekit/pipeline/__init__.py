"""The path of every call: admission, identity, deadline, handler, error table, record.

Servicers are registered through WrappingServer, which puts each method in its pipeline once; TCP, Unix
sockets and the in-process channel serve the same wrapped handlers.
"""

from clawdbot_servicekit.call_record import CallRecord, annotate
from clawdbot_servicekit.pipeline.registration import HandlerRegistrar, HandlerTarget
from clawdbot_servicekit.pipeline.types import Deadlines, Identify, Observe, Pipeline, TrustedContext

__all__ = [
    "CallRecord",
    "Deadlines",
    "HandlerRegistrar",
    "HandlerTarget",
    "Identify",
    "Observe",
    "Pipeline",
    "TrustedContext",
    "annotate",
]
