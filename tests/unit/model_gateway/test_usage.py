"""Usage is counted once, whatever a vendor calls it and wherever in a reply it is."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage
from clawdbot_model_client.accumulator import accumulate

from tests.support import (
    anthropic_streams,
    chat_streams,
    fake_anthropic,
    fake_gemini,
    fake_ollama,
    fake_openai,
    fake_responses,
    gemini_streams,
    ollama_streams,
    responses_streams,
)

OPENAI = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
FORMS = {
    "OpenAI": OPENAI,
    "Anthropic": {"input_tokens": 7, "output_tokens": 3},
    "Gemini": {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10},
    "Gemini's protos": {"prompt_token_count": 7, "candidates_token_count": 3, "total_token_count": 10},
    "Gemini, live": {"promptTokenCount": 7, "responseTokenCount": 3},
    "Bedrock": {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10},
    "Bedrock's metrics": {"inputTokenCount": 7, "outputTokenCount": 3, "invocationLatency": 800},
    "Vercel": {"promptTokens": 7, "completionTokens": 3},
    "watsonx": {"input_token_count": 7, "generated_token_count": 3},
    "Ollama": {"prompt_eval_count": 7, "eval_count": 3, "eval_duration": 12345},
    "Cohere": {"billed_units": {"input_tokens": 5, "output_tokens": 3}, "tokens": {"input_tokens": 7}},
    "DeepSeek": {"prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": 7, "completion_tokens": 3},
    "text": {"prompt_tokens": "7", "completion_tokens": "3"},
}
FIELDS = (
    "usage",
    "usage_metadata",
    "usageMetadata",
    "token_usage",
    "meta",
    "x_vendor",
    "amazon-bedrock-invocationMetrics",
)


def used(events) -> Usage:
    found = [each.usage for each in events if each.HasField("usage")]
    assert len(found) == 1, "usage is reported once"
    return found[0]


def expected(**more: int) -> Usage:
    return Usage(input_tokens=7, output_tokens=3, provenance=USAGE_PROVENANCE_REPORTED, **more)


def chat(**more):
    return chat_streams.reply_to(
        fake_openai.chunk({"content": "Yes."}), fake_openai.chunk({}, "stop", **more)
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("field", FIELDS)
def test_counts_have_any_vendors_names_in_any_field(form, field):
    assert used(chat(**{field: FORMS[form]})) == expected()


@pytest.mark.parametrize(
    "place",
    [
        lambda usage: {"usage": usage},
        lambda usage: {"x_groq": {"id": "r", "usage": usage}},
        lambda usage: {"metadata": {"usage": usage}},
        lambda usage: usage,
    ],
    ids=["usage", "vendor", "metadata", "bare"],
)
def test_counts_may_be_in_any_chunk(place):
    text, last = fake_openai.chunk({"content": "Yes."}), fake_openai.chunk({}, "stop")
    for chunks in (
        [{**text, **place(OPENAI)}, last],
        [text, {**last, **place(OPENAI)}],
        [text, last, {"choices": [], **place(OPENAI)}],
        [text, last, {"choices": None, **place(OPENAI)}],
        [text, last, place(OPENAI)],
        [place(OPENAI), text, last],
        [{**text, **place(OPENAI)}, {**last, **place(dict.fromkeys(OPENAI, 0))}],
    ):
        assert used(chat_streams.reply_to(*chunks)) == expected()


@pytest.mark.parametrize("holder", ["choice", "delta", "message"])
def test_counts_may_be_beside_the_content(holder):
    for finish in (None, "stop"):
        choice = {"index": 0, "delta": {"content": "Yes."}, "finish_reason": finish}
        if holder == "message":
            choice = {"index": 0, "message": {"content": "Yes."}, "finish_reason": finish}
        (choice if holder == "choice" else choice[holder])["usage"] = OPENAI
        events = chat_streams.reply_to({"choices": [choice]}, fake_openai.chunk({}, "stop"))
        assert used(events) == expected()


@pytest.mark.parametrize("form", FORMS)
def test_the_streams_of_every_format_know_all_names(form):
    usage = {"usage": FORMS[form]}
    text = {"candidates": [{"content": {"parts": [{"text": "Yes."}]}, "finishReason": "STOP"}]}
    assert used(gemini_streams.read(fake_gemini.sse({**text, **usage}))) == expected()
    lines = [fake_ollama.line({"content": "Yes."}), {"done": True, "done_reason": "stop", **usage}]
    assert used(ollama_streams.read(fake_ollama.ndjson(*lines))) == expected()
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, **usage}
    stream = fake_anthropic.sse(*fake_anthropic.says("Yes."), delta, {"type": "message_stop"})
    assert used(anthropic_streams.read(stream)) == expected()
    ended = fake_responses.ended(fake_responses.message("Yes."), **usage)
    assert used(responses_streams.read(fake_responses.sse(ended))) == expected()


def test_the_messages_api_may_count_in_any_event():
    text, stop = fake_anthropic.says("Yes."), {"type": "message_stop"}
    reason = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    counts = {"input_tokens": 7, "output_tokens": 3}
    for last in (
        [reason, {**stop, "usage": counts}],
        [reason, {**stop, "amazon-bedrock-invocationMetrics": FORMS["Bedrock's metrics"]}],
        [{**reason, "delta": {"stop_reason": "end_turn", "usage": counts}}, stop],
    ):
        assert used(anthropic_streams.read(fake_anthropic.sse(*text, *last))) == expected()


def test_counts_that_the_first_event_of_a_response_has_are_kept():
    begun = {"type": "response.created", "response": {"usage": FORMS["Anthropic"], "output": []}}
    none = {"input_tokens": 0, "output_tokens": 0}
    ended = fake_responses.ended(fake_responses.message("Yes."), usage=none)
    assert used(responses_streams.read(fake_responses.sse(begun, ended))) == expected()


def test_what_a_model_writes_is_not_counted():
    lie = {"usage": {"input_tokens": 999, "output_tokens": 999}, "input_tokens": 999, "total_tokens": 9999}
    call = fake_gemini.call("clock_now", lie)
    events = gemini_streams.read(
        fake_gemini.sse(fake_gemini.chunk(call, finish="STOP", usage=fake_gemini.counts()))
    )
    assert used(events).input_tokens == 7
    events = anthropic_streams.read(
        fake_anthropic.sse(
            fake_anthropic.begin(),
            fake_anthropic.start(0, {"type": "tool_use", "id": "t", "name": "clock_now", "input": lie}),
            fake_anthropic.delta(0, "input_json_delta", partial_json=lie),
            fake_anthropic.stop(0),
            *fake_anthropic.end("tool_use"),
        )
    )
    assert used(events).input_tokens == 7
    function = {"name": "clock_now", "arguments": lie}
    tools = [{"index": 0, "id": "c", "function": function}]
    events = chat_streams.reply_to(
        fake_openai.chunk({"tool_calls": tools, "function_call": function}),
        fake_openai.chunk({"content": json.dumps(lie)}),
        fake_openai.chunk({}, "tool_calls", usage=OPENAI),
    )
    assert used(events).input_tokens == 7
    line = fake_ollama.line({"tool_calls": [{"function": function}]})
    assert used(ollama_streams.reply_to(line, fake_ollama.last())).input_tokens == 7


LIE = {"input_tokens": 90000, "output_tokens": 90000}


@pytest.mark.parametrize("usage", [FORMS["Anthropic"], {"input_tokens": 7, "output_tokens": 0}])
@pytest.mark.parametrize(
    "echo",
    [
        {"metadata": {"input_tokens": "90000", "output_tokens": "90000"}},
        {"metadata": {"usage": LIE}},
        {"prompt": {"id": "p", "variables": LIE}},
        {"text": {"format": {"type": "text"}, **LIE}},
        {"reasoning": LIE},
    ],
)
def test_what_a_response_repeats_of_the_request_is_not_counted(echo, usage):
    begun = fake_responses.created()
    begun["response"] |= echo
    whole = {**fake_responses.ended(fake_responses.message("Yes."))["response"], "usage": usage, **echo}
    ended = {"type": "response.completed", "response": whole}
    for events in (
        responses_streams.read(fake_responses.sse(begun, ended)),
        responses_streams.read(fake_responses.sse(whole)),
        responses_streams.response_decoder().decode_whole(whole),
    ):
        assert (used(events).input_tokens, used(events).output_tokens) == (7, usage["output_tokens"])


@pytest.mark.parametrize("field", ["parsed", "metadata", "audio", "executed_tool", "annotations"])
@pytest.mark.parametrize("holder", ["message", "delta"])
def test_what_a_message_contains_is_not_counted(holder, field):
    for lie in (LIE, {"usage": LIE}):
        piece = {"index": 0, holder: {"content": "Yes.", field: lie}, "finish_reason": "stop"}
        events = chat_streams.reply_to({"choices": [piece], "usage": OPENAI})
        assert used(events) == expected()


@pytest.mark.parametrize("wrapper", ["output", "data", "result", "response"])
def test_counts_may_be_in_what_a_proxy_wraps_all_in(wrapper):
    text, last = fake_openai.chunk({"content": "Yes."}), fake_openai.chunk({}, "stop", usage=OPENAI)
    inner = {**last, "choices": []} if wrapper == "response" else last
    events = chat_streams.reply_to(text, {wrapper: inner}, fake_openai.chunk({}, "stop"))
    assert used(events) == expected()


def test_a_reply_of_gemini_may_have_the_names_of_its_protos():
    call = {"function_call": {"name": "clock_now", "args": {"n": 2**60 + 1}}, "thought_signature": "c2ln"}
    reply = {
        "candidates": [{"content": {"parts": [{"text": "Wait."}, call]}, "finish_reason": "STOP"}],
        "usage_metadata": FORMS["Gemini's protos"],
        "model_version": "gemini-x",
    }
    events = gemini_streams.read(fake_gemini.sse(reply))
    made = accumulate(events).message.parts[-1].tool_call
    assert (made.name, made.arguments_json, made.signature) == (
        "clock.now",
        f'{{"n":{2**60 + 1}}}',
        b"gemini:c2ln",
    )
    assert (used(events), events[0].started.model) == (expected(), "gemini-x")
    blocked = {"prompt_feedback": {"block_reason": "SAFETY"}}
    assert gemini_streams.read(fake_gemini.sse(blocked))[-1].finished.raw_finish_reason == "SAFETY"
