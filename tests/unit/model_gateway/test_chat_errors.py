"""Errors over Chat Completions in place of a reply, or beside one; and replies inside of other objects."""

from __future__ import annotations

import pytest
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import BackendFailed, BackendOverloaded, BackendTimeout, RateLimited

from tests.support.chat_streams import reply_to, response_decoder
from tests.support.fake_openai import chunk, completion
from tests.support.generate_requests import finish_of, text_of


@pytest.mark.parametrize("error", [{"message": "boom", "code": 503}, "503: the server is overloaded"])
@pytest.mark.parametrize("place", ["choice", "delta", "message", "chunk"])
@pytest.mark.parametrize("finish", [None, "error", "stop"])
def test_an_error_is_found_wherever_it_is(error, place, finish):
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": finish}
    reported = {
        "choice": {"choices": [{**choice, "error": error}]},
        "delta": {"choices": [{**choice, "delta": {"error": error}}]},
        "message": {"choices": [{"message": {"content": "", "error": error}, "finish_reason": finish}]},
        "chunk": {"choices": [choice], "error": error},
    }[place]
    with pytest.raises(BackendOverloaded):
        reply_to(reported)
    with pytest.raises(BackendOverloaded):
        response_decoder().decode_whole(reported)


@pytest.mark.parametrize(
    "nothing",
    [
        *(None, "", {}, [], False, 0, {"code": 0, "message": "success"}, {"code": "200", "message": "OK"}),
        *({"message": "", "code": ""}, {"message": None, "type": None, "code": None}),
    ],
)
def test_an_error_that_says_nothing_is_none(nothing):
    choice = {"index": 0, "delta": {"content": "Hi", "error": nothing}, "error": nothing}
    events = reply_to({"choices": [choice], "error": nothing}, chunk({}, "stop", error=nothing))
    assert (text_of(events), finish_of(events)) == ("Hi", "stop")


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        *((each, BackendFailed) for each in ("error", "FAILED", "server_error", "internal-error", "abort")),
        *((each, BackendTimeout) for each in ("timeout", "time_limit")),
        *((each, BackendOverloaded) for each in ("overloaded", "insufficient_system_resource")),
        ("rate_limit", RateLimited),
    ],
)
def test_a_finish_reason_may_be_an_error(word, kind):
    with pytest.raises(kind):
        reply_to(chunk({"content": ""}, word))


@pytest.mark.parametrize("envelope", ["output", "data", "result"])
def test_a_reply_may_be_inside_of_another_object(envelope):
    whole = completion({"content": "Hi"})
    usage = {"usage": whole.pop("usage")}
    wrapped = {"code": 0, "message": "ok", envelope: whole, **usage}
    events = response_decoder().decode_whole(wrapped)
    assert (text_of(events), finish_of(events)) == ("Hi", "stop")
    assert accumulate(events).usage.input_tokens == 7
    events = reply_to({envelope: chunk({"content": "Hi"})}, {envelope: chunk({}, "stop")})
    assert (text_of(events), finish_of(events)) == ("Hi", "stop")


def test_a_lone_choice_needs_no_list():
    events = reply_to({"choices": {"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}})
    assert (text_of(events), finish_of(events)) == ("Hi", "stop")


def test_the_models_name_is_read_after_chunks_that_have_none():
    events = reply_to({"choices": [], "model": ""}, {"choices": None}, {}, chunk({"content": "Hi"}, "stop"))
    assert events[0].started.model == "fake-1"
