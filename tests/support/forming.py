"""A provider that has no field for a form of a reply, what it says, and a gateway over it."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot.common.v1.usage_pb2 import UsageProvenance
from clawdbot.model_gateway.v1.generation_pb2 import JsonSchemaFormat, ResponseFormat
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.accumulator import fold
from clawdbot_model_gateway.core.routing import Target

from tests.support.generating import asks, check_grammar, collect
from tests.support.scripted_provider import STOP, Bench, FakeProvider

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
GOOD = '{"name": "Ada", "age": 36}'
BAD = '{"name": "Ada", "age": "old"}'
WAYS = pytest.mark.parametrize("way", ["stream", "generate"])
REPORTED = UsageProvenance.USAGE_PROVENANCE_REPORTED


class LimitedProvider(FakeProvider):
    """A provider that has fields for these forms only, and keeps what it was asked."""

    def __init__(self, *scripts, forms=()):
        super().__init__(*scripts)
        self._forms = frozenset(forms)
        self.requests = []

    def forms(self, _request, _model, /):
        return self._forms

    async def stream(self, request, model):
        self.requests.append(request)
        async for event in super().stream(request, model):
            yield event


def wanted(schema=PERSON, name=""):
    form = JsonSchemaFormat(name=name)
    form.schema.update(schema)
    return ResponseFormat(json_schema=form)


def words(*pieces, finish=STOP, usage=None):
    cost = [events.used(usage)] if usage else []
    return [events.started("m"), *map(events.text, pieces), *cost, events.finished(finish, "stop")]


def called(arguments, name="answer"):
    whole = ToolCall(id="c1", name=name)
    whole.arguments.update(json.loads(arguments))
    return [
        events.started("m"),
        events.tool_started(0, "c1", name),
        events.tool_delta(0, arguments[:5]),
        events.tool_delta(0, arguments[5:]),
        events.tool_done(0, whole),
        events.finished(FinishReason.FINISH_REASON_TOOL_CALLS, "tool_calls"),
    ]


def bench(*scripts, forms=(), **others):
    provider = LimitedProvider(*scripts, forms=forms)
    targets = (Target("a", "m"), *(Target(name, "m", fallback=True) for name in others))
    return Bench({"default": targets}, a=provider, **others), provider


async def answer(place, request=None, way="stream"):
    request = request or asks("Who?", response_format=wanted())
    if way == "generate":
        return await place.generation.generate(request)
    seen = await collect(place.generation.stream(request))
    check_grammar(seen)
    return fold(seen)
