"""Replies over unusual HTTP: other statuses of success, connections left open, long headers, compression."""

from __future__ import annotations

import json

import pytest

from tests.support.fake_openai import (
    HANG,
    KEY,
    Answer,
    chunk,
    completion,
    fake_openai,
    sse,
    text_chunks,
    whole,
)
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, finish_of, text_of

STREAM = sse(*text_chunks("Good", " evening"))
REPLY = completion({"content": "Good evening"})
WHOLE = json.dumps(REPLY).encode()
SECONDS = 15.0
"""Of a call: far more than it takes, far less than read_timeout."""


@pytest.fixture
async def backend():
    async with fake_openai() as fake:
        yield fake


async def replies(tmp_path, backend, *answers, seconds=SECONDS, rpc="generate", **settings):
    """The texts of the replies, each to one call."""
    texts = []
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY, **settings)) as served:
        for answer in answers:
            backend.will(answer)
            reply = await served.inside.run(asks(), rpc, seconds)
            texts.append(text_of(reply) if rpc == "stream" else reply.message.parts[0].text)
            assert rpc != "stream" or finish_of(reply) == "stop"
    return texts


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206])
async def test_a_reply_with_any_status_of_success_is_taken(tmp_path, backend, status):
    assert await replies(tmp_path, backend, Answer([WHOLE], status, content_type="application/json")) == [
        "Good evening"
    ]
    assert await replies(tmp_path / "2", backend, Answer([STREAM], status), rpc="stream") == ["Good evening"]


@pytest.mark.parametrize("status", [204, 205])
async def test_a_success_without_a_reply_is_none(tmp_path, backend, status):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        backend.will(Answer((), status))
        fault = await served.inside.fault(asks())
    assert fault.reason == "BACKEND_PROTOCOL"
    assert str(status) in fault.message


async def test_a_success_that_says_nothing_is_no_reply(tmp_path, backend):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        backend.will(whole({}, 202))
        fault = await served.inside.fault(asks())
    assert fault.reason == "BACKEND_PROTOCOL"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (WHOLE, "application/json"),
        (WHOLE + b"\n", "application/json"),
        (json.dumps(REPLY, indent=1).encode(), "application/json"),
        (STREAM, "text/event-stream"),
        (STREAM, "application/json"),
        (STREAM.removesuffix(b"data: [DONE]\n\n"), "text/event-stream"),
    ],
    ids=["json", "json and a line end", "pretty json", "events", "events called json", "no end"],
)
@pytest.mark.parametrize("rpc", ["generate", "stream"])
async def test_a_whole_reply_is_taken_though_the_connection_stays_open(tmp_path, backend, body, kind, rpc):
    cut = len(body) // 2
    answer = Answer([body[:cut], body[cut:], HANG], content_type=kind)
    assert await replies(tmp_path, backend, answer, rpc=rpc) == ["Good evening"]


async def test_a_whole_reply_may_come_as_one_event_whose_connection_stays_open(tmp_path, backend):
    answer = Answer([b"data: " + WHOLE + b"\n\n", HANG])
    assert await replies(tmp_path, backend, answer) == ["Good evening"]


async def test_an_event_with_a_finish_reason_is_not_taken_for_the_last_of_many(tmp_path, backend):
    pieces = [chunk({"content": each}, "stop") for each in ("Good", " evening")]
    answer = Answer([sse(pieces[0], done=False), 2.5, sse(pieces[1])])
    assert await replies(tmp_path, backend, answer) == ["Good evening"]


async def test_the_first_line_of_a_stream_is_not_taken_for_a_whole_reply(tmp_path, backend):
    lines = [json.dumps(each).encode() + b"\n" for each in text_chunks("Good", " evening")]
    answer = Answer([lines[0], 2.5, *lines[1:]], content_type="application/json")
    assert await replies(tmp_path, backend, answer) == ["Good evening"]


@pytest.mark.parametrize(
    "encoding",
    [
        ("ISO-8859-1", "cp1252", "Café „à la carte“"),
        ('"latin1"', "cp1252", "Grüße"),
        ("windows-1252", "cp1252", "Grüße"),
        ("gbk", "gbk", "你好"),
        ("GB2312", "gb18030", "你好，镕"),
        ("big5", "big5", "你好"),
        ("shift_jis", "cp932", "日本語"),
        ("euc-kr", "euc-kr", "안녕"),
    ],
)
@pytest.mark.parametrize("rpc", ["generate", "stream"])
async def test_a_reply_in_another_character_set_is_read(tmp_path, backend, encoding, rpc):
    charset, codec, text = encoding
    body = json.dumps(completion({"content": text}), ensure_ascii=False).encode(codec)
    stream = f"data: {json.dumps(chunk({'content': text}), ensure_ascii=False)}\n\n".encode(codec)
    stream += sse(chunk({}, "stop"))
    answers = [
        Answer([body], content_type=f"application/json; charset={charset}"),
        Answer([stream], content_type=f"text/event-stream;charset={charset}"),
        Answer([bytes([each]) for each in stream], content_type=f"text/event-stream; charset={charset}"),
    ]
    assert await replies(tmp_path, backend, *answers, rpc=rpc) == [text] * 3


async def test_a_whole_reply_may_be_in_utf_16(tmp_path, backend):
    body = json.dumps(completion({"content": "Grüß 你"}), ensure_ascii=False).encode("utf-16")
    answer = Answer([body], content_type="application/json; charset=utf-16")
    assert await replies(tmp_path, backend, answer) == ["Grüß 你"]


@pytest.mark.parametrize("charset", ["ISO-8859-1", "utf-8", "us-ascii", "x-unknown", "zlib", "undefined"])
async def test_what_is_utf_8_is_read_as_that_whatever_the_content_type_says(tmp_path, backend, charset):
    body = json.dumps(completion({"content": "Grüße, 你好"}), ensure_ascii=False).encode()
    answer = Answer([body], content_type=f"application/json; charset={charset}")
    assert await replies(tmp_path, backend, answer) == ["Grüße, 你好"]


async def test_an_error_in_another_character_set_is_read(tmp_path, backend):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        for content in ('{"error": {"message": "余额不足"}}', "<title>余额不足</title>", "余额不足"):
            backend.will(Answer([content.encode("gbk")], 400, content_type="text/plain; charset=gb2312"))
            fault = await served.inside.fault(asks())
            assert (fault.reason, "余额不足" in fault.message) == ("BACKEND_QUOTA", True)


async def test_a_fallback_is_asked_though_the_body_of_the_error_stalls(tmp_path, backend):
    async with fake_openai() as other:
        models = {
            "backends": {
                "first": compatible(backend.url, api_key=KEY, models=["fake-1"]),
                "second": compatible(other.url, api_key=KEY, models=["fake-1"]),
            },
            "aliases": {"chat": ["first/fake-1", {"target": "second/fake-1", "fallback": True}]},
        }
        async with gateway(tmp_path, models=models) as served:
            for pieces in ([b'{"error": {"mess'], [b" ", 0.3] * 100):
                backend.will(Answer([*pieces, HANG], 503, content_type="application/json"))
                reply = await served.inside.run(asks(model="chat"), "generate", SECONDS)
                assert reply.backend == "second"


async def test_a_header_of_any_usual_length_is_read(tmp_path, backend):
    answer = Answer([WHOLE], 200, {"content-security-policy": "a" * 12_000}, "application/json")
    assert await replies(tmp_path, backend, answer) == ["Good evening"]


async def test_a_response_may_have_many_headers(tmp_path, backend):
    answer = Answer([WHOLE], 200, {f"x-hop-{number}": "y" for number in range(300)}, "application/json")
    assert await replies(tmp_path, backend, answer) == ["Good evening"]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({f"x-hop-{number}": "a" for number in range(1100)}, "too many headers"),
        ({"content-security-policy": "a" * 80_000}, "header that is too large"),
        ({"content-encoding": "br"}, "content-encoding"),
    ],
)
async def test_what_of_a_response_cannot_be_read_is_said(tmp_path, backend, headers, said):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        backend.will(Answer([WHOLE], 200, headers, "application/json"))
        fault = await served.inside.fault(asks())
    assert fault.reason == "BACKEND_PROTOCOL"
    assert said in fault.message
    assert "aaaa" not in fault.message


@pytest.mark.parametrize("rpc", ["generate", "stream"])
async def test_signs_of_life_and_a_careless_end_do_no_harm(tmp_path, backend, rpc):
    chunks = [chunk({"content": "Good"}), chunk({"content": " evening"}), chunk({}, "stop")]
    records = ["ping", json.dumps(chunks[0]), "null", '""', "[]", *map(json.dumps, chunks[1:]), "DONE"]
    stream = "".join(f"data: {each}\n\n" for each in records).encode()
    single = "".join(f"data: {json.dumps(each)}\n" for each in chunks).encode()
    assert (
        await replies(tmp_path, backend, Answer([stream]), Answer([single]), rpc=rpc) == ["Good evening"] * 2
    )
