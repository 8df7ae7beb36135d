"""The check tells a model that works from one that does not, and the report shows it."""

from __future__ import annotations

import io

import pytest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import Backend, Model, Target
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import CountTokensResponse
from clawdbot_cli.models.client import ModelClient
from clawdbot_cli.models.model_check import JSON_SCHEMA, TOOL_CALL, CheckResult, ModelCheck, Reply
from clawdbot_cli.models.report import Report
from clawdbot_servicekit.errors import RemoteError
from rich.console import Console

from tests.support.fake_openai import KEY, Answer, fake_openai, sse, text_chunks
from tests.support.gateway_service import compatible, gateway

CAPABLE = [
    {"when": "weather", "tool_calls": [{"name": "weather", "arguments": {"city": "Lisbon"}}]},
    {"when": "Ada", "text": '{"name": "Ada", "age": 36}'},
    {"text": "Hello. One, two, three.", "pace": "2ms", "usage": {"input": 9, "output": 6}},
]


whole_stream = Answer([sse(*text_chunks('{"name": "Ada", "age": 36}'))])


def scripted(*replies):
    return {"provider": "scripted", "replies": list(replies), "models": ["m"]}


async def check_all(state, *replies):
    """The results of all checks of a scripted model, and its first reply."""
    async with gateway(state, model=scripted(*replies)) as served:
        check = ModelCheck(ModelClient(served.host.channel()), "chat")
        replied, reply = await check.check_reply()
        return replied, reply, await check.check_tool_call(), await check.check_json_schema()


async def test_a_model_that_can_do_everything_passes_everything(tmp_path):
    replied, reply, call, json = await check_all(tmp_path, *CAPABLE)
    assert [replied.passed, call.passed, json.passed] == [True, True, True]
    assert replied.detail.startswith("first token after ")
    assert "tokens/s" in replied.detail
    assert reply.target == "scripted/m"
    assert (call.name, json.name) == (TOOL_CALL, JSON_SCHEMA)


@pytest.mark.parametrize(
    ("unsupported", "how"),
    [
        ((), "yes; through the backend's own response format"),
        (("json_schema",), "it was asked for by a tool"),
        (("json_schema", "json"), "it was asked for by a tool"),
    ],
)
async def test_the_result_says_how_the_json_was_requested(tmp_path, unsupported, how):
    async with fake_openai() as backend:
        backend.will(whole_stream)
        model = compatible(backend.url, name="fake-1", api_key=KEY)
        model["unsupported"] = [f"response_format.{each}" for each in unsupported]
        async with gateway(tmp_path, model=model) as served:
            result = await ModelCheck(ModelClient(served.host.channel()), "chat").check_json_schema()
    assert result.passed
    assert how in result.detail


async def test_a_failed_check_says_what_came_instead(tmp_path):
    replied, _, call, json = await check_all(tmp_path, {"text": "Hello."})
    assert replied.passed
    assert (call.passed, call.detail) == (False, "the reply has no tool call (STOP)")
    assert not json.passed
    assert json.detail.startswith("the reply is not JSON (STOP)")


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ('{"name": "Ada"}', "does not have the fields of the schema"),
        ('["Ada", 36]', "does not have the fields of the schema"),
        ('{"name": "Ada", "age": "36"}', "has wrong values"),
    ],
)
async def test_json_that_does_not_match_the_schema_fails(tmp_path, text, detail):
    *_, json = await check_all(tmp_path, {"when": "Ada", "text": text}, *CAPABLE)
    assert detail in json.detail


async def test_a_call_with_wrong_arguments_fails(tmp_path):
    wrong = {"when": "weather", "tool_calls": [{"name": "weather", "arguments": {"city": "Porto"}}]}
    _, _, call, _ = await check_all(tmp_path, wrong, *CAPABLE)
    assert call.detail == "it called weather with {'city': 'Porto'}"


async def test_a_reply_that_is_cut_off_fails(tmp_path):
    cut = {"text": "Hello there you", "fault": {"kind": "cut", "after": 1}}
    replied, *_ = await check_all(tmp_path, cut)
    assert (replied.passed, replied.detail) == (False, "the reply was cut off (TRUNCATED)")


async def test_the_error_of_a_failed_check_is_shown(tmp_path):
    refused = {"when": "weather", "fault": {"kind": "refused"}}
    _, _, call, json = await check_all(tmp_path, refused, *CAPABLE)
    assert not call.passed
    assert "BACKEND_REFUSED_REQUEST" in call.detail
    assert json.passed


async def test_a_model_that_cannot_be_reached_raises_the_error(tmp_path):
    async with gateway(tmp_path, model=scripted({"fault": {"kind": "auth"}})) as served:
        with pytest.raises(RemoteError) as caught:
            await ModelCheck(ModelClient(served.host.channel()), "chat").check_reply()
    assert caught.value.reason == "BACKEND_AUTH"


async def test_a_model_is_asked_again_each_time(tmp_path):
    """With temperature 0 an equal request would be answered from the cache."""
    model = {**scripted({"text": "Hello.", "times": 1}, {"text": "Good bye."}), "temperature": 0}
    async with gateway(tmp_path, model=model) as served:
        check = ModelCheck(ModelClient(served.host.channel()), "chat")
        replies = [(await check.check_reply())[1].text for _ in range(2)]
    assert replies == ["Hello.", "Good bye."]


def test_a_speed_needs_more_than_one_token():
    assert Reply(first_token_seconds=0.1, last_token_seconds=0.1).tokens_per_second is None
    reply = Reply(first_token_seconds=0.5, last_token_seconds=2.5)
    reply.usage.output_tokens = 21
    assert reply.tokens_per_second == 10.0


def shown(show) -> str:
    out = io.StringIO()
    show(Report(Console(file=out, width=40, color_system=None, markup=False), Console(stderr=True)))
    return out.getvalue()


def test_lists_show_the_targets_of_aliases_and_are_not_cut():
    targets = [
        Target(target="vllm-a/a-model-with-a-long-name-indeed", weight=3),
        Target(target="vllm-b/m", weight=1),
        Target(target="openai/x", fallback=True),
    ]
    models = [
        Model(name="chat", targets=targets),
        Model(name="openai/x", provider="openai_compatible", context_length=128_000),
    ]
    backends = [Backend(name="openai", provider="openai_compatible", endpoint="https://api", models=["x"])]
    text = shown(lambda report: report.models(models, backends))
    assert "vllm-a/a-model-with-a-long-name-indeed ×3, vllm-b/m ×1, else openai/x" in text
    assert "128,000" in text
    assert "https://api" in text


def test_names_of_models_cannot_control_the_terminal():
    text = shown(lambda report: report.models([Model(name="a/\x1b[31m[bold]x", provider="p")], []))
    assert "\x1b" not in text
    assert "␛[31m[bold]x" in text


def test_a_token_count_says_who_counted_and_how_exactly():
    estimated = CountTokensResponse(tokens=23, source=3, error_bound=0.31)
    assert (
        shown(lambda report: report.token_count(estimated, 90))
        == "23 tokens ± 31%, estimated (90 characters)\n"
    )
    exact = CountTokensResponse(tokens=20, source=1)
    assert shown(lambda report: report.token_count(exact, 90)) == (
        "20 tokens, counted by the backend (90 characters)\n"
    )
    assert shown(lambda report: report.check(CheckResult(JSON_SCHEMA, passed=False, detail="no"))).startswith(
        "✗ "
    )
