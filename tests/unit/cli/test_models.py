"""A trial tells a model that works from one that does not, and what is shown says so."""

from __future__ import annotations

import io

import pytest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import Backend, Model, Target
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import CountTokensResponse
from clawdbot_cli.models.client import ModelClient
from clawdbot_cli.models.model_check import JSON, TOOL_CALL, Check, Reply, Trial
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


async def trying(state, *replies):
    """The three checks of a scripted model, and its first reply."""
    async with gateway(state, model=scripted(*replies)) as served:
        trial = Trial(ModelClient(served.host.channel()), "chat")
        answer, reply = await trial.answers()
        return answer, reply, await trial.calls_a_tool(), await trial.keeps_to_a_schema()


async def test_a_model_that_can_do_everything_passes_everything(tmp_path):
    answer, reply, call, shape = await trying(tmp_path, *CAPABLE)
    assert [answer.passed, call.passed, shape.passed] == [True, True, True]
    assert answer.told.startswith("first token after ")
    assert "tokens/s" in answer.told
    assert reply.target == "scripted/m"
    assert (call.name, shape.name) == (TOOL_CALL, JSON)


@pytest.mark.parametrize(
    ("unsupported", "how"),
    [
        ((), "yes; asked for by the backend's own field"),
        (("json_schema",), "it was asked for by a tool"),
        (("json_schema", "json"), "it was asked for by a tool"),
    ],
)
async def test_it_is_told_how_json_was_got(tmp_path, unsupported, how):
    async with fake_openai() as backend:
        backend.will(whole_stream)
        model = compatible(backend.url, name="fake-1", api_key=KEY)
        model["unsupported"] = [f"response_format.{each}" for each in unsupported]
        async with gateway(tmp_path, model=model) as served:
            shape = await Trial(ModelClient(served.host.channel()), "chat").keeps_to_a_schema()
    assert shape.passed
    assert how in shape.told


async def test_what_a_model_cannot_do_is_told_with_what_came_instead(tmp_path):
    answer, _, call, shape = await trying(tmp_path, {"text": "Hello."})
    assert answer.passed
    assert (call.passed, call.told) == (False, "no call came (STOP)")
    assert not shape.passed
    assert shape.told.startswith("what came is no JSON (STOP)")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"name": "Ada"}', "JSON of another shape"),
        ('["Ada", 36]', "JSON of another shape"),
        ('{"name": "Ada", "age": "36"}', "hold what they should not"),
    ],
)
async def test_json_of_another_shape_is_none(tmp_path, text, told):
    *_, shape = await trying(tmp_path, {"when": "Ada", "text": text}, *CAPABLE)
    assert told in shape.told


async def test_a_call_with_other_arguments_is_none(tmp_path):
    wrong = {"when": "weather", "tool_calls": [{"name": "weather", "arguments": {"city": "Porto"}}]}
    _, _, call, _ = await trying(tmp_path, wrong, *CAPABLE)
    assert call.told == "it called weather with {'city': 'Porto'}"


async def test_a_reply_that_breaks_off_is_no_answer(tmp_path):
    cut = {"text": "Hello there you", "fault": {"kind": "cut", "after": 1}}
    answer, *_ = await trying(tmp_path, cut)
    assert (answer.passed, answer.told) == (False, "it broke off (TRUNCATED)")


async def test_a_check_that_fails_with_an_error_tells_it(tmp_path):
    refused = {"when": "weather", "fault": {"kind": "refused"}}
    _, _, call, shape = await trying(tmp_path, refused, *CAPABLE)
    assert not call.passed
    assert "BACKEND_REFUSED_REQUEST" in call.told
    assert shape.passed


async def test_a_model_that_cannot_be_reached_is_a_fault(tmp_path):
    async with gateway(tmp_path, model=scripted({"fault": {"kind": "auth"}})) as served:
        with pytest.raises(RemoteError) as caught:
            await Trial(ModelClient(served.host.channel()), "chat").answers()
    assert caught.value.reason == "BACKEND_AUTH"


def test_a_speed_needs_more_than_one_token():
    assert Reply(first=0.1, last=0.1).speed is None
    reply = Reply(first=0.5, last=2.5)
    reply.usage.output_tokens = 21
    assert reply.speed == 10.0


def shown(show) -> str:
    out = io.StringIO()
    show(Report(Console(file=out, width=40, color_system=None, markup=False), Console(stderr=True)))
    return out.getvalue()


def test_lists_show_what_aliases_mean_and_are_never_cut():
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


def test_what_models_are_called_does_nothing_to_a_terminal():
    text = shown(lambda report: report.models([Model(name="a/\x1b[31m[bold]x", provider="p")], []))
    assert "\x1b" not in text
    assert "␛[31m[bold]x" in text


def test_a_count_says_who_counted_and_how_sure_that_is():
    estimated = CountTokensResponse(tokens=23, source=3, error_bound=0.31)
    assert shown(lambda report: report.count(estimated, 90)) == "23 tokens ± 31%, estimated (90 characters)\n"
    exact = CountTokensResponse(tokens=20, source=1)
    assert shown(lambda report: report.count(exact, 90)) == (
        "20 tokens, counted by the backend (90 characters)\n"
    )
    assert shown(lambda report: report.check(Check(JSON, passed=False, told="no"))).startswith("✗ ")
