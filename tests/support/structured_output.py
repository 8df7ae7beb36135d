"""A provider that supports some response formats only, its replies, and a gateway over it."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot.common.v1.usage_pb2 import UsageProvenance
from clawdbot.model_gateway.v1.generation_pb2 import JsonSchemaFormat, ResponseFormat
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.routing.routing_table import Target

from tests.support.generate_requests import asks, check_grammar, collect
from tests.support.scripted_provider import STOP, Bench, FakeProvider

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
GOOD = '{"name": "Ada", "age": 36}'
BAD = '{"name": "Ada", "age": "old"}'
RPCS = pytest.mark.parametrize("rpc", ["stream", "generate"])
REPORTED = UsageProvenance.USAGE_PROVENANCE_REPORTED


class LimitedProvider(FakeProvider):
    """A provider that supports these formats only, and records its requests."""

    def __init__(self, *scripts, native=()):
        super().__init__(*scripts)
        self._native = frozenset(native)
        self.requests = []

    def native_formats(self, _request, _model, /):
        return self._native

    async def stream(self, request, model):
        self.requests.append(request)
        async for event in super().stream(request, model):
            yield event


def schema_format(schema=PERSON, name=""):
    json_schema = JsonSchemaFormat(name=name)
    json_schema.schema.update(schema)
    return ResponseFormat(json_schema=json_schema)


def text_reply(*deltas, finish=STOP, usage=None):
    reported = [events.usage(usage)] if usage else []
    return [events.started("m"), *map(events.text_delta, deltas), *reported, events.finished(finish, "stop")]


def call_reply(arguments, name="answer"):
    call = ToolCall(id="c1", name=name)
    call.arguments.update(json.loads(arguments))
    return [
        events.started("m"),
        events.tool_call_started(0, "c1", name),
        events.tool_call_delta(0, arguments[:5]),
        events.tool_call_delta(0, arguments[5:]),
        events.tool_call_done(0, call),
        events.finished(FinishReason.FINISH_REASON_TOOL_CALLS, "tool_calls"),
    ]


def bench_of(*scripts, native=(), **others):
    """A bench whose first target is a LimitedProvider; `others` are fallbacks."""
    provider = LimitedProvider(*scripts, native=native)
    targets = (Target("a", "m"), *(Target(name, "m", fallback=True) for name in others))
    return Bench({"default": targets}, a=provider, **others), provider


async def answer(bench, request=None, rpc="stream"):
    request = request or asks("Who?", response_format=schema_format())
    if rpc == "generate":
        return await bench.generation.generate(request)
    events_seen = await collect(bench.stream(request))
    check_grammar(events_seen)
    return accumulate(events_seen)
