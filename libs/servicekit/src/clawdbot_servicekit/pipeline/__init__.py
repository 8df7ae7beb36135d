"""What happens around every call: admission, identity, deadline, handler, error table, record.

Servicers are registered on a HandlerRegistrar, which wraps each method once. TCP, Unix sockets and the
in-process channel serve the same wrapped handlers.
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
