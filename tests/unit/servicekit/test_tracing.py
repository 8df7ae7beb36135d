"""The ids of a caller's request are propagated."""

import structlog
from clawdbot_servicekit import tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_ids_of_the_caller_are_passed_on_and_logged():
    tracing.extract([("x-request-id", "req-1"), ("traceparent", PARENT), ("other", "x")])
    assert tracing.headers() == (("x-request-id", "req-1"), ("traceparent", PARENT))
    assert structlog.contextvars.get_contextvars() == {
        "request_id": "req-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }


async def test_ids_of_another_format_are_ignored():
    tracing.extract([("x-request-id", "a b"), ("traceparent", "00-xyz"), ("x-request-id", "y" * 129)])
    assert tracing.headers() == ()
    assert structlog.contextvars.get_contextvars() == {}
