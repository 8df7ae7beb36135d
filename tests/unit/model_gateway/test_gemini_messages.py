"""Media, calls, results and thought signatures are encoded for the Gemini API."""

from __future__ import annotations

import orjson
import pytest
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Document,
    Media,
    Message,
    Part,
    Reasoning,
    ToolCall,
    ToolResult,
)
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.formats.gemini.request import RequestDefaults, RequestEncoder

from tests.support.fake_gemini import call, chunk
from tests.support.gemini_streams import reply_to
from tests.support.generate_requests import asks, calling, says, tool

OLD, NEW = "gemini-2.0-flash", "gemini-3-flash"


def contents(*messages, model=OLD, warned=()):
    request = asks(*messages, tools=[tool("tables.reserve"), tool("clock.now")])
    encoded = RequestEncoder("gemini", RequestDefaults()).encode(request, model)
    assert [each.field for each in encoded.warnings] == list(warned)
    return orjson.loads(orjson.dumps(encoded.body))["contents"]


def parts(role, *message_parts, **more):
    (content,) = contents(Message(role=role, parts=message_parts), **more)
    return content["parts"]


def answers(*results, **more):
    """The parts with the results of calls."""
    calls = calling(*(each.tool_result.call_id for each in results))
    return contents(calls, Message(role=ROLE_TOOL, parts=results), **more)[-1]["parts"]


def booking(call_id="c1", **more):
    tool_call = ToolCall(id=call_id, name="tables.reserve", **more)
    tool_call.arguments.update({"people": 4})
    return Part(tool_call=tool_call)


def result(call_id="c1", *texts, **more):
    return Part(tool_result=ToolResult(call_id=call_id, content=[Part(text=each) for each in texts], **more))


# Media


def test_images_audio_and_documents_are_parts():
    sent = parts(
        ROLE_USER,
        Part(text="What is this?"),
        Part(image=Media(data=b"\x89PNG", media_type="image/png")),
        Part(image=Media(uri="https://x/y.png")),
        Part(audio=Media(data=b"fLaC", media_type="audio/flac")),
        Part(audio=Media(uri="https://x/files/1", media_type="audio/ogg")),
        Part(document=Document(data=b"%PDF", media_type="application/pdf", title="a.pdf")),
    )
    assert sent == [
        {"text": "What is this?"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
        {"fileData": {"fileUri": "https://x/y.png"}},
        {"inlineData": {"mimeType": "audio/flac", "data": "ZkxhQw=="}},
        {"fileData": {"fileUri": "https://x/files/1", "mimeType": "audio/ogg"}},
        {"text": "a.pdf:"},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}},
    ]


def test_instructions_contain_only_text():
    image = Part(image=Media(uri="https://x/y.png"))
    sent = contents(
        Message(role=ROLE_SYSTEM, parts=[Part(text="Look."), image]),
        "Hello",
        warned=["messages[0].parts[1].image"],
    )
    assert sent == [{"role": "user", "parts": [{"text": "Hello"}]}]


# Calls and results


def test_a_call_and_its_result_go_back_to_the_model():
    sent = contents(
        "A table",
        Message(role=ROLE_ASSISTANT, parts=[booking()]),
        Message(role=ROLE_TOOL, parts=[result("c1", "booked")]),
    )
    called = {"id": "c1", "name": "tables_reserve", "args": {"people": 4}}
    answered = {"id": "c1", "name": "tables_reserve", "response": {"output": "booked"}}
    assert sent[1:] == [
        {"role": "model", "parts": [{"functionCall": called}]},
        {"role": "user", "parts": [{"functionResponse": answered}]},
    ]


def test_results_of_parallel_calls_are_one_content_apart_from_the_next_message():
    sent = contents(
        "Two tables",
        Message(role=ROLE_ASSISTANT, parts=[booking("c1"), booking("c2")]),
        Message(role=ROLE_TOOL, parts=[result("c1", "booked")]),
        Message(role=ROLE_TOOL, parts=[result("c2", "booked")]),
        "And?",
    )
    assert [each["role"] for each in sent] == ["user", "model", "user", "user"]
    assert [each["functionResponse"]["id"] for each in sent[2]["parts"]] == ["c1", "c2"]


def test_a_result_is_its_text_or_its_data_or_says_that_it_is_empty_and_whether_it_failed():
    data = ToolResult(call_id="c2", name="clock.now")
    data.structured.update({"ref": "T-1"})
    sent = answers(
        result("c1", "a", "b"),
        Part(tool_result=data),
        result("c3"),
        result("c4", "no table", is_error=True),
        result("c5", is_error=True),
    )
    assert [each["functionResponse"]["response"] for each in sent] == [
        {"output": "a\nb"},
        {"output": {"ref": "T-1"}},
        {"output": "(no output)"},
        {"error": "no table"},
        {"error": "The tool failed and said nothing."},
    ]
    assert sent[1]["functionResponse"]["name"] == "clock_now"


def test_an_image_in_a_result_is_sent_only_to_models_that_take_it():
    content = [Part(text="plan"), Part(image=Media(data=b"\x89PNG", media_type="image/png"))]
    with_image = Part(tool_result=ToolResult(call_id="c1", name="clock.now", content=content))
    (part,) = answers(with_image, model=NEW)
    assert part["functionResponse"]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}}
    ]
    (part,) = answers(with_image, warned=["messages[1].parts[0].tool_result.content[1]"])
    assert "parts" not in part["functionResponse"]


# Thought signatures


def reply_of(*wire):
    """A Gemini model's reply with these parts, as our message."""
    return accumulate(reply_to(*(chunk(each) for each in wire), chunk(finish="STOP"))).message


def test_a_calls_signature_goes_back_as_it_came():
    reply = reply_of(
        call("tables_reserve", {"people": 4}, call_id="c1", signature="c2ln+/="), call("clock_now")
    )
    calls = [part.tool_call.id for part in reply.parts]
    answers = Message(role=ROLE_TOOL, parts=[result(each, "done") for each in calls])
    sent = contents("A table", reply, answers, model=NEW)[1]["parts"]
    assert sent[0]["thoughtSignature"] == "c2ln+/="
    assert sent[0]["functionCall"] == {"id": "c1", "name": "tables_reserve", "args": {"people": 4}}
    assert "thoughtSignature" not in sent[1]


def test_a_texts_signature_goes_back_after_it():
    reply = reply_of({"text": "Hi."}, {"text": "", "thoughtSignature": "c2ln"})
    assert contents("Hello", reply, model=NEW)[1]["parts"] == [
        {"text": "Hi."},
        {"text": "", "thoughtSignature": "c2ln"},
    ]


def test_a_thought_goes_back_with_its_signature_or_not_at_all():
    reply = reply_of({"text": "hm", "thought": True, "thoughtSignature": "c2ln"}, {"text": "Hi."})
    assert contents("Hello", reply, model=NEW)[1]["parts"] == [
        {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "Hi."},
    ]
    unsigned = reply_of({"text": "hm", "thought": True}, {"text": "Hi."})
    left_out = ["messages[1].parts[0].reasoning"]
    assert contents("Hello", unsigned, warned=left_out)[1]["parts"] == [{"text": "Hi."}]


@pytest.mark.parametrize("signature", [b"", b"another-vendors", b"\xff\x00"])
def test_a_call_that_no_gemini_model_made_gets_googles_placeholder_signature(signature):
    foreign = [Part(reasoning=Reasoning(text="hm", signature=signature)), booking("c1", signature=signature)]
    reply = Message(role=ROLE_ASSISTANT, parts=[*foreign, booking("c2", signature=signature)])
    answers = Message(role=ROLE_TOOL, parts=[result("c1", "booked"), result("c2", "booked")])
    left_out = ["messages[1].parts[0].reasoning"]
    first, second = contents("A table", reply, answers, model=NEW, warned=left_out)[1]["parts"]
    assert first["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in second
    first, _ = contents("A table", reply, answers, model=OLD, warned=left_out)[1]["parts"]
    assert "thoughtSignature" not in first


def test_each_step_of_a_turn_has_its_own_placeholder():
    step = [Message(role=ROLE_ASSISTANT, parts=[booking()]), Message(role=ROLE_TOOL, parts=[result()])]
    sent = contents("A table", *step, *step, model=NEW)
    assert ["thoughtSignature" in each["parts"][0] for each in sent] == [False, True, False, True, False]


def test_contents_of_one_role_are_joined_where_nothing_is_between_them():
    thought = Message(role=ROLE_ASSISTANT, parts=[Part(reasoning=Reasoning(text="hm"))])
    sent = contents("Hello", thought, "Are you there?", warned=["messages[1].parts[0].reasoning"])
    assert [each["role"] for each in sent] == ["user"]
    assert [each["text"] for each in sent[0]["parts"]] == ["Hello", "Are you there?"]


@pytest.mark.parametrize("instructions", [[], [says("Be brief.", ROLE_SYSTEM)]])
def test_the_user_is_the_first_to_speak(instructions):
    sent = contents(*instructions, says("Hello!", ROLE_ASSISTANT), "Hi")
    assert [each["role"] for each in sent] == ["user", "model", "user"]
