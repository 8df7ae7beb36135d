"""What the key of a cached reply depends on, and what it does not."""

from __future__ import annotations

import random

import pytest
from clawdbot.common.v1.message_pb2 import Message, Part
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.model_gateway.v1.generation_pb2 import (
    CachePolicy,
    GenerateRequest,
    Priority,
    ResponseFormat,
    Sampling,
    TextFormat,
    ToolChoice,
)
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.reply_cache.key import NOT_IN_KEY, cache_key
from clawdbot_model_gateway.settings import BackendSettings
from clawdbot_model_gateway.wiring.cache import fingerprint
from clawdbot_servicekit.structs import to_struct
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.generate_requests import asks
from tests.support.scripted_provider import FakeProvider

IN_KEY = {
    "messages": GenerateRequest(messages=asks("Something else").messages),
    "tools": GenerateRequest(tools=[ToolSpec(name="clock.now")]),
    "tool_choice": GenerateRequest(tool_choice=ToolChoice(mode=ToolChoice.MODE_NONE)),
    "response_format": GenerateRequest(response_format=ResponseFormat(text=TextFormat())),
    "sampling": GenerateRequest(sampling=Sampling(seed=1)),
    "provider_options": GenerateRequest(provider_options=to_struct({"a": 1})),
    "strict": GenerateRequest(strict=True),
}
"""Field → a request that sets it. A field that is added to the contract has to be here or below."""
OUTSIDE = {
    "model": GenerateRequest(model="chat"),
    "priority": GenerateRequest(priority=Priority.PRIORITY_BATCH),
    "cache": GenerateRequest(cache=CachePolicy(mode=CachePolicy.MODE_USE, semantic=True)),
    "metadata": GenerateRequest(metadata={"session_id": "s"}),
    "request_id": GenerateRequest(request_id="r"),
}


def digest(request=None, backend="a", model="m", tenant="t", print_=b"") -> bytes:
    return cache_key(
        request or asks(), Backend(backend, "fake", FakeProvider(), fingerprint=print_), model, tenant
    ).digest


def merged(change: GenerateRequest) -> GenerateRequest:
    request = asks()
    request.MergeFrom(change)
    return request


def test_each_field_of_a_request_is_in_the_key_or_is_known_not_to_change_a_reply():
    assert {*IN_KEY, *OUTSIDE} == {field.name for field in GenerateRequest.DESCRIPTOR.fields}
    assert set(OUTSIDE) == set(NOT_IN_KEY)


@pytest.mark.parametrize("field", IN_KEY)
def test_a_field_that_changes_the_reply_changes_the_key(field):
    assert digest(merged(IN_KEY[field])) != digest()


@pytest.mark.parametrize("field", OUTSIDE)
def test_a_field_that_does_not_change_the_reply_does_not_change_the_key(field):
    assert digest(merged(OUTSIDE[field])) == digest()


def variants(descriptor: Descriptor, depth: int = 0):
    """Every field below a message: its path, and a message that sets that one."""
    for field in descriptor.fields:
        if field.message_type is None:
            values = [("", {FieldDescriptor.CPPTYPE_STRING: "x"}.get(field.cpp_type, 1))]
            if field.type == FieldDescriptor.TYPE_BYTES:
                values = [("", b"x")]
        elif field.message_type.full_name == "google.protobuf.Struct":
            values = [(".key", to_struct({"key": 1})), (".value", to_struct({"key": 2}))]
        elif field.message_type.GetOptions().map_entry:
            values = [("", {"key": "value"})]
        elif depth > MAX_DEPTH:
            continue
        else:
            values = [("", GetMessageClass(field.message_type)())]
            values += [(f".{path}", each) for path, each in variants(field.message_type, depth + 1)]
        for path, value in values:
            repeats = field.is_repeated and not isinstance(value, dict)
            message = GetMessageClass(descriptor)(**{field.name: [value] if repeats else value})
            yield field.name + path, message


MAX_DEPTH = 4
"""Of messages in messages: a result of a tool has parts, and a part can be such a result."""
REQUESTS = dict(variants(GenerateRequest.DESCRIPTOR))
TIMES = {path for path in REQUESTS if ".create_time" in path and path.startswith("messages.create_time")}
"""Ignored in requests."""


def test_each_field_at_any_depth_is_in_the_key_or_is_known_not_to_change_a_reply():
    assert len(REQUESTS) > 100
    assert {"sampling.temperature", "messages.parts.tool_result.content.image.uri"} <= REQUESTS.keys()
    assert TIMES
    digests: dict[bytes, str] = {}
    for path, request in REQUESTS.items():
        if path.partition(".")[0] in NOT_IN_KEY:
            assert digest(request) == digest(GenerateRequest()), path
        elif path not in TIMES:
            assert digest(request) != digest(GenerateRequest()), path
            assert digests.setdefault(digest(request), path) == path


def test_an_explicit_zero_is_not_an_absent_field():
    assert digest(asks(sampling={"temperature": 0.0})) != digest(merged(GenerateRequest(sampling=Sampling())))


def test_the_time_of_a_message_is_not_in_the_key():
    request = asks()
    request.messages[0].create_time.CopyFrom(Timestamp(seconds=1))
    assert digest(request) == digest()
    assert request.messages[0].HasField("create_time"), "the request itself is unchanged"


@pytest.mark.parametrize(
    "change", [{"tenant": "u"}, {"backend": "b"}, {"model": "n"}, {"print_": b"other settings"}]
)
def test_tenant_target_and_settings_are_in_the_key(change):
    assert digest(**change) != digest()


def test_pieces_that_meet_elsewhere_are_different_keys():
    assert digest(backend="ab", model="c") != digest(backend="a", model="bc")
    assert digest(tenant="ta", backend="b") != digest(tenant="t", backend="ab")
    two = GenerateRequest(messages=[Message(role=1, parts=[Part(text="a"), Part(text="b")])])
    one = GenerateRequest(messages=[Message(role=1, parts=[Part(text="ab")])])
    assert digest(two) != digest(one)


def test_the_order_of_an_objects_keys_does_not_matter():
    values = {f"key {number}": {"b": number, "a": [1, {"y": 1, "x": 2}]} for number in range(20)}
    digests = set()
    for _ in range(10):
        items = [*values.items()]
        random.shuffle(items)
        digests.add(digest(merged(GenerateRequest(provider_options=to_struct(dict(items))))))
        # A message that has been parsed has its maps in another order.
        again = GenerateRequest.FromString(
            merged(GenerateRequest(provider_options=to_struct(dict(items)))).SerializeToString()
        )
        digests.add(digest(again))
    assert len(digests) == 1


BASE = {"provider": "openai_compatible", "endpoint": "http://127.0.0.1:1/v1", "name": "m"}


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.0},
        {"max_tokens": 5},
        {"stop": ["x"]},
        {"seed": 1},
        {"endpoint": "http://127.0.0.1:2/v1"},
        {"headers": {"x-feature": "on"}},
        {"unsupported": ["sampling.top_k"]},
    ],
)
def test_settings_that_change_a_reply_change_the_fingerprint(change):
    assert fingerprint(BackendSettings(**{**BASE, **change})) != fingerprint(BackendSettings(**BASE))


@pytest.mark.parametrize(
    "change", [{"api_key": "new"}, {"http": {"pool_size": 5}}, {"models": ["m"]}, {"queue": {"size": 1}}]
)
def test_settings_that_do_not_change_a_reply_do_not(change):
    assert fingerprint(BackendSettings(**{**BASE, **change})) == fingerprint(BackendSettings(**BASE))


def test_each_setting_of_a_backend_is_in_the_fingerprint_or_known_not_to_matter():
    known = {
        *("provider", "endpoint", "headers", "max_tokens", "temperature", "top_p", "top_k", "stop", "seed"),
        *("presence_penalty", "frequency_penalty"),
        *("name", "models", "api_key", "api_keys", "tokenizer", "http", "queue", "retry", "hedge", "breaker"),
        "prices",
    }
    assert known == set(BackendSettings.model_fields)
