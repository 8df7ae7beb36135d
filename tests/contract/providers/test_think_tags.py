"""A lone </think>: the prompt began the thought, so that only its end is in the reply."""

from __future__ import annotations

from itertools import zip_longest

import pytest
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.formats.think_tags import EVIDENCE, go_opens_thought, jinja_opens_thought

from tests.support import fake_ollama
from tests.support.fake_openai import Answer, chunk, completion, sse, text_chunks, whole
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks
from tests.support.wires import RPCS, WIRES, answer, labelled, parts, replies, served, text

THOUGHT = ["A guest", " asks.\n</th", "ink>\n", "\nGood", " evening."]

QWEN_THINKING = (
    "{%- for message in messages -%}{{ '<think>' + message.reasoning + '</think>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}"
)
QWEN_HYBRID = (
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
)
DEEPSEEK_V31 = (
    "{%- if add_generation_prompt %}{{'<|Assistant|>'}}{%- if not thinking %}{{'</think>'}}"
    "{%- else %}{{'<think>'}}{%- endif %}{%- endif %}"
)


@pytest.fixture(params=WIRES)
def wire(request):
    return WIRES[request.param]


def reasoning(reply):
    return "".join(each.text for each in parts(reply, "reasoning"))


def shown_while_streaming(events):
    return "".join(each.text_delta.text for each in events)


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("pieces", [THOUGHT, ["A guest asks.</think>Good evening."]])
async def test_all_before_a_lone_last_tag_is_reasoning(tmp_path, wire, rpc, pieces):
    async with served(tmp_path, wire) as (backend, client):
        backend.will(answer(wire, rpc, wire.text(*pieces), wire.whole("".join(pieces))))
        reply = await replies(client, rpc)
    assert (reasoning(reply), text(reply)) == ("A guest asks.", "Good evening.")


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("begin", ["</think>", "</think>\n\n", "\n</think>\n\n"])
async def test_a_last_tag_that_begins_a_reply_is_no_text(tmp_path, wire, rpc, begin):
    async with served(tmp_path, wire) as (backend, client):
        backend.will(answer(wire, rpc, wire.text(begin, "Hello."), wire.whole(f"{begin}Hello.")))
        reply = await replies(client, rpc)
    assert (reasoning(reply), text(reply)) == ("", "Hello.")


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize(
    "about",
    [
        "The tag `</think>` ends a thought.",
        'Models write "</think>" last.',
        "First <think>, then </think>.",
        "The tag </think> closes it.",
        "It ends with </think>.",
        "```\nA thought.\n</think>\nAn answer.\n```",
        "A < b and </thing> and </thin",
    ],
)
async def test_a_tag_that_the_text_is_about_stays_in_it(tmp_path, wire, rpc, about):
    pieces = [about[at : at + 5] for at in range(0, len(about), 5)]
    async with served(tmp_path, wire) as (backend, client):
        backend.will(answer(wire, rpc, wire.text(*pieces), wire.whole(about)))
        reply = await replies(client, rpc)
    assert (reasoning(reply), text(reply)) == ("", about)


async def test_the_replies_after_several_of_them_show_their_reasoning_as_reasoning(tmp_path, wire):
    kind = "application/x-ndjson" if wire.lines else "text/event-stream"
    stream = labelled(kind, wire.stream(wire.text(*THOUGHT)))
    async with served(tmp_path, wire) as (backend, client):
        backend.will(*[stream] * (EVIDENCE + 1))
        *first, last = [await client.run(asks(), "stream") for _ in range(EVIDENCE + 1)]
    assert all(shown_while_streaming(each).startswith("A guest asks.") for each in first)
    assert shown_while_streaming(last) == "Good evening."
    assert reasoning(accumulate(last)) == "A guest asks."


async def test_an_answer_without_any_tag_is_not_lost_as_a_thought(tmp_path, wire):
    kind = "application/x-ndjson" if wire.lines else "text/event-stream"
    async with served(tmp_path, wire) as (backend, client):
        backend.will(
            *[labelled(kind, wire.stream(wire.text(*THOUGHT)))] * EVIDENCE,
            labelled(kind, wire.stream(wire.text("Good", " evening."))),
            labelled(kind, wire.stream(wire.text("Good", " night."))),
        )
        *_, answer, later = [await client.run(asks(), "stream") for _ in range(EVIDENCE + 2)]
    assert text(accumulate(answer)) == "Good evening."
    assert (reasoning(accumulate(later)), text(accumulate(later))) == ("", "Good night.")


async def streamed(client, model, thinks=True):
    """What is shown as text while a reply arrives."""
    events = await client.run(asks(model=model), "stream")
    assert (reasoning(accumulate(events)) == "A guest asks.") is thinks
    return shown_while_streaming(events)


@pytest.mark.parametrize(
    "name", ["deepseek-r1", "DeepSeek-R1-Distill-Qwen-7B", "Qwen/QwQ-32B", "qwen3-30b-a3b-thinking-2507"]
)
async def test_models_that_always_think_are_known_by_name(tmp_path, name):
    chat = WIRES["chat"]
    async with chat.serve() as backend:
        backend.models = [{"id": name}]
        async with gateway(tmp_path, model=compatible(backend.url, name=name, api_key="k" * 20)) as running:
            backend.will(Answer([sse(*text_chunks(*THOUGHT))]))
            assert await streamed(running.client, "") == "Good evening."


@pytest.mark.parametrize("says", ["name", "template"])
async def test_the_server_is_asked_about_a_model_whose_name_says_nothing(tmp_path, says):
    async with WIRES["chat"].serve() as backend:
        if says == "name":
            backend.models = [{"id": "house", "root": "/models/Qwen3-4B-Thinking-2507"}]
        else:
            backend.models, backend.template = [{"id": "house"}], QWEN_THINKING
        async with gateway(tmp_path, model=compatible(backend.url, api_key="k" * 20)) as running:
            backend.will(Answer([sse(*text_chunks(*THOUGHT))]))
            assert await streamed(running.client, "") == "Good evening."


async def test_ollama_is_asked_for_its_template(tmp_path):
    wire = WIRES["ollama"]
    async with wire.serve() as backend:
        template = "{{ .Prompt }}<|im_start|>assistant\n<think>\n{{ end }}"
        backend.shown = {fake_ollama.MODEL: fake_ollama.shown(template=template)}
        async with gateway(tmp_path, model={"provider": "ollama", "endpoint": backend.root}) as running:
            backend.will(labelled("application/x-ndjson", wire.stream(wire.text(*THOUGHT))))
            assert await streamed(running.client, "") == "Good evening."


@pytest.mark.parametrize(
    ("template", "opens"),
    [
        (QWEN_THINKING, True),
        (QWEN_HYBRID, False),
        (DEEPSEEK_V31, False),
        ("{{ messages }}", False),
        ("", False),
    ],
)
def test_what_a_jinja_template_says(template, opens):
    assert jinja_opens_thought(template) is opens


@pytest.mark.parametrize(
    ("template", "opens"),
    [
        ("<|assistant|>\n<think>\n", True),
        ("{{ if .System }}x{{ end }}<|assistant|><think>\n{{- end }}", True),
        ("{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}<|assistant|>", False),
        ("{{ .Prompt }}", False),
    ],
)
def test_what_a_go_template_says(template, opens):
    assert go_opens_thought(template) is opens


# Thoughts that come twice, and in each other


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("size", [1, 4, 100])
async def test_thoughts_that_a_server_sends_apart_and_in_the_text_are_there_once(tmp_path, rpc, size):
    thought, said = "A guest asks.", "<think>\nA guest asks.\n</think>\n\nGood evening."
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    thoughts = [thought[at : at + size] for at in range(0, len(thought), size)]
    deltas = [
        {**({"reasoning_content": a} if a else {}), **({"content": b} if b else {})}
        for a, b in zip_longest(thoughts, pieces)
    ]
    async with served(tmp_path, WIRES["chat"]) as (backend, client):
        message = {"reasoning_content": thought, "content": said}
        chunks = [*map(chunk, deltas), chunk({}, "stop")]
        backend.will(whole(completion(message)) if rpc == "generate" else Answer([sse(*chunks)]))
        reply = await replies(client, rpc)
    assert (reasoning(reply), text(reply)) == ("A guest asks.", "Good evening.")


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("size", [1, 4, 100])
async def test_a_thought_that_contains_a_first_tag_ends_with_its_own_last_tag(tmp_path, wire, rpc, size):
    said = "<think>One <think>two</think> three.</think>\n\nGood evening."
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    for _ in range(EVIDENCE + 1):
        async with served(tmp_path, wire) as (backend, client):
            backend.will(answer(wire, rpc, wire.text(*pieces), wire.whole(said)))
            reply = await replies(client, rpc)
        assert text(reply) == "Good evening."
        assert "".join(reasoning(reply).split()) == "One<think>twothree."


@pytest.mark.parametrize("said", ["The tag </think> closes it.", "`</think>` closes it.", "Yes."])
async def test_an_answer_after_such_a_thought_may_be_about_the_tag(tmp_path, said):
    async with served(tmp_path, WIRES["chat"]) as (backend, client):
        backend.will(Answer([sse(*text_chunks(f"<think>Is <think> meant?</think>{said}"))]))
        reply = await replies(client, "stream")
    assert (reasoning(reply), text(reply)) == ("Is <think> meant?", said)
