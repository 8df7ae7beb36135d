"""An error that nobody foresaw in a decoder is the backend's, and the log has its cause."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.core.errors import BackendOverloaded, ProtocolViolation
from clawdbot_model_gateway.formats.json_stream import JsonStreamDecoder
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.sse import EventParser
from clawdbot_model_gateway.http import ErrorMapper
from structlog.testing import capture_logs

from tests.support.chat_streams import stream_decoder
from tests.support.fake_openai import chunk, sse, usage_chunk

UNFORESEEN = [
    *(kind("a secret") for kind in (TypeError, KeyError, ValueError, AttributeError, RecursionError)),
    UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "a secret"),
]


class BrokenDecoder(ReplyDecoder):
    """Fails on every record, or at the end of the reply."""

    def __init__(self, error, *, at_end=False):
        super().__init__("m", [], ErrorMapper([]))
        self._error, self._at_end = error, at_end

    def decode(self, record, name, out, /):
        self._take_reason("stop", with_content=True)
        if not self._at_end:
            raise self._error

    def finish(self, out):
        raise self._error


def read_with(decoder):
    stream = JsonStreamDecoder(EventParser(), decoder)
    stream.feed(b"data: {}\n\n", [])
    stream.end([])


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("error", UNFORESEEN, ids=lambda each: type(each).__name__)
def test_an_unforeseen_error_is_a_protocol_violation_with_its_stack_in_the_log(error, at_end):
    decoder, kind = BrokenDecoder(error, at_end=at_end), type(error).__name__
    with capture_logs() as logged, pytest.raises(ProtocolViolation, match=kind) as caught:
        read_with(decoder)
    assert caught.value.__cause__ is error
    assert caught.value.retry_elsewhere
    assert "secret" not in str(caught.value)
    (entry,) = logged
    assert (entry["event"], entry["log_level"], entry["exc_info"]) == ("decoder_failed", "error", error)


def test_a_record_that_is_nested_too_deeply_is_a_protocol_violation():
    deep = b'data: {"a": "\\u0041", "b": ' + b"[" * 200_000 + b"]" * 200_000 + b"}\n\n"
    with pytest.raises(ProtocolViolation):
        stream_decoder().feed(deep, [])


@pytest.mark.parametrize(
    ("before", "worked"),
    [
        ([], False),
        ([chunk({"role": "assistant", "content": ""})], False),
        ([usage_chunk(0, 0)], False),
        ([chunk({"content": "Good"})], True),
        ([chunk({"reasoning": "Hm"})], True),
        ([chunk({}, "stop")], True),
        ([usage_chunk(7, 3)], True),
        ([usage_chunk(7, 0)], True),
    ],
)
def test_an_error_says_whether_the_backend_had_begun(before, worked):
    overloaded = {"error": {"message": "overloaded", "code": 503}}
    with pytest.raises(BackendOverloaded) as caught:
        stream_decoder().feed(sse(*before, overloaded), [])
    assert caught.value.worked_on is worked


@pytest.mark.parametrize(
    "last",
    [
        {"error": {"message": "overloaded", "code": 503}, "usage": {"prompt_tokens": 700}},
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {"content": ""},
                    "finish_reason": "error",
                    "error": {"code": 503, "message": "overloaded"},
                }
            ],
            "usage": {"prompt_tokens": 700, "completion_tokens": 300},
        },
    ],
)
def test_usage_in_the_record_of_the_error_counts(last):
    with pytest.raises(BackendOverloaded) as caught:
        stream_decoder().feed(sse(last), [])
    assert caught.value.worked_on
