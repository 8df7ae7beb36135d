"""Errors are read from any JSON, in any vendor's form, and never from what they repeat of the request."""

from __future__ import annotations

import json

import pytest
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    ContentFiltered,
    ContextTooLong,
    ModelMissing,
    ProtocolViolation,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)
from clawdbot_model_gateway.http import ErrorMapper

ERRORS = ErrorMapper([])


def answered(status, body):
    return ERRORS.from_response(status, body if isinstance(body, bytes) else json.dumps(body).encode(), {})


def e(message, code=None, kind=None):
    return {"error": {"message": message, "code": code, "type": kind}}


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"error":{"message":"no","code":"insufficient_quota"}}',
        b'{"error":{"message":"no \\ud83d","code":"insufficient_quota"}}',
        b'{"error":{"message":"no","code":"insufficient_quota","score":NaN}}',
        b'{"error":{"message":"caf\xe9 no","code":"insufficient_quota"}}',
        b'{"error":{"message":"two\nlines","code":"insufficient_quota"}}',
        b'{"error":{"message":"no","code":"insufficient_quota"}}\n{"more": 1}',
        '{"error":{"message":"no","code":"insufficient_quota"}}'.encode("utf-16"),
        json.dumps(json.dumps(e("no", "insufficient_quota"))).encode(),
        json.dumps(e(json.dumps(e("no", "insufficient_quota")), 400)).encode(),
        json.dumps(
            {"error": {"message": "x", "metadata": {"raw": json.dumps(e("no", "insufficient_quota"))}}}
        ).encode(),
        json.dumps([e("no", "insufficient_quota")]).encode(),
        b'{"Response":{"Error":{"Code":"insufficient_quota","Message":"no"}}}',
        b'{"errors":[{"code":"insufficient_quota","message":"no"}]}',
    ],
)
@pytest.mark.parametrize("status", [403, 429])
def test_the_code_is_read_in_any_json(body, status):
    error = answered(status, body)
    assert type(error) is QuotaExhausted
    assert error.quote.isprintable()


# What we sent


PROMPT = "my prompt is too long"


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"loc": ["body", "top_k"], "msg": "must be > 0", "input": PROMPT + "x" * 70_000}]},
        {"detail": {"msg": "must be > 0", "input": PROMPT}},
        {"object": "error", "message": "must be > 0", "body": PROMPT, "code": 400},
        {"error": {"message": {"detail": "must be > 0", "request": {"messages": [PROMPT]}}}},
        {"error": {"message": "must be > 0", "failed_generation": PROMPT}},
        e(f"1 validation error: must be > 0 [type=value, input_value='{PROMPT}', input_type=str]"),
        e(f"[{{'loc': ('body',), 'msg': 'must be > 0', 'input': '{PROMPT}'}}]"),
        {"errors": [{"message": "must be > 0", "value": PROMPT}]},
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_what_we_sent_is_neither_read_nor_repeated(body, status):
    error = answered(status, body)
    assert type(error) is RequestRefused
    assert "must be > 0" in error.detail
    assert "prompt" not in error.detail


def test_json_that_was_cut_is_neither_read_nor_repeated():
    body = json.dumps({"detail": [{"msg": "no", "input": PROMPT}]}).encode()
    for size in range(1, len(body)):
        error = answered(422, body[:size])
        assert type(error) is RequestRefused
        assert "prompt" not in error.detail


# Errors that follow a 200


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (e("messages.1: bad", None, "invalid_request_error"), RequestRefused),
        (e("prompt is too long", None, "invalid_request_error"), ContextTooLong),
        (e("model: x", None, "not_found_error"), ModelMissing),
        (e("no", None, "timeout_error"), BackendTimeout),
        (e("no", None, "overloaded_error"), BackendOverloaded),
        (e("no", None, "authentication_error"), BackendAuth),
        (e("no", None, "permission_error"), BackendAuth),
        (e("flagged for review", None, "permission_error"), ContentFiltered),
        (e("no", "server_is_overloaded"), BackendOverloaded),
        (e("no", "slow_down"), BackendOverloaded),
        (e("no", None, "BadRequestError"), RequestRefused),
        (e("no", 503), BackendOverloaded),
        (e("no", "429"), RateLimited),
        ({"error": {"message": "no", "status": 404}}, ProtocolViolation),
        (e("no", None, "api_error"), BackendFailed),
        (e("no"), BackendFailed),
        ({"error": "no"}, BackendFailed),
        ({"error": "overloaded_error"}, BackendOverloaded),
        ({"type": "error", "error": "rate_limit_exceeded"}, RateLimited),
        ({"detail": "insufficient_quota"}, QuotaExhausted),
        ({"error": {"message": "model_not_found"}}, ModelMissing),
    ],
)
def test_an_error_without_a_status_has_that_of_its_type(payload, kind):
    error = ERRORS.from_payload(payload)
    assert type(error) is kind
    assert "HTTP 500" not in error.detail


@pytest.mark.parametrize(
    ("response", "kind", "said"),
    [
        (
            {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
            QuotaExhausted,
            "insufficient balance",
        ),
        ({"base_resp": {"status_code": 1026, "status_msg": "no"}}, ContentFiltered, "no"),
        ({"code": "1302", "msg": "您当前使用该API的并发数过高"}, RateLimited, "并发数过高"),
        ({"detail": "Not authenticated"}, BackendAuth, "Not authenticated"),
        ({"choices": [{"delta": {}}], "x_groq": {"error": "over capacity"}}, BackendFailed, "over capacity"),
        ({"message": "The provided model identifier is invalid."}, ModelMissing, "identifier"),
        ({"code": 500, "msg": "boom", "success": False}, BackendFailed, "boom"),
        ({"Response": {"Error": {"Code": "AuthFailure.SecretIdNotFound", "Message": "x"}}}, BackendAuth, ""),
        (
            {"success": False, "errors": [{"code": 7003, "message": "Could not route"}]},
            BackendFailed,
            "route",
        ),
        ({"choices": []}, ProtocolViolation, "no reply"),
        ({"code": 0, "message": "success", "data": {}}, ProtocolViolation, "no reply"),
        ({"type": "message", "content": []}, ProtocolViolation, "no reply"),
        ({"message": {"role": "assistant", "content": ""}, "done": True}, ProtocolViolation, "no reply"),
        ([], ProtocolViolation, "no reply"),
        ("no", ProtocolViolation, "no reply"),
        (None, ProtocolViolation, "no reply"),
    ],
)
def test_another_vendors_error_in_a_200_is_one(response, kind, said):
    error = ERRORS.from_no_reply(response)
    assert type(error) is kind
    assert said in error.detail


def test_a_message_nested_beyond_reason_is_read_in_no_time():
    body: object = "no"
    for _ in range(500):
        body = {"message": body, "error": None, "detail": None}
    assert type(answered(500, body)) is BackendFailed
    assert type(answered(500, b"[" * 100_000)) is BackendFailed
