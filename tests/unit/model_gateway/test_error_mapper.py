"""Vendors' errors are mapped to the right class, and no key ever gets into their messages."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    ContextTooLong,
    ModelMissing,
    ProtocolViolation,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)
from clawdbot_model_gateway.http import ErrorMapper
from clawdbot_model_gateway.http.retry_after import MAX_RETRY_AFTER, retry_after
from hypothesis import given
from hypothesis import strategies as st

KEY = "verysecretkey-0123456789"
ERRORS = ErrorMapper([KEY])
NOW = 1_800_000_000.0


def error_of(status, body, **headers):
    text = body if isinstance(body, str) else json.dumps(body)
    return ERRORS.from_response(
        status, text.encode(), {key.replace("_", "-"): each for key, each in headers.items()}
    )


def anthropic(kind, message, error_code=None):
    details = {"details": {"error_code": error_code}} if error_code else {}
    error = {"type": kind, "message": message, **details}
    return {"type": "error", "error": error, "request_id": "req_1"}


def openai(message, code=None, kind="invalid_request_error"):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # OpenAI
        (401, openai("Incorrect API key provided", "invalid_api_key"), BackendAuth),
        (403, openai("Country not supported"), BackendAuth),
        (429, openai("Rate limit reached", "rate_limit_exceeded", "requests"), RateLimited),
        (429, openai("You exceeded your current quota", "insufficient_quota"), QuotaExhausted),
        (404, openai("The model `x` does not exist", "model_not_found"), ModelMissing),
        (
            400,
            openai("This model's maximum context length is 8192", "context_length_exceeded"),
            ContextTooLong,
        ),
        (400, openai("Unsupported parameter: top_k"), RequestRefused),
        (500, openai("The server had an error", kind="server_error"), BackendFailed),
        (503, openai("That model is currently overloaded"), BackendOverloaded),
        # vLLM
        (
            400,
            {
                "object": "error",
                "message": "This model's maximum context length is 4096 tokens.",
                "code": 400,
            },
            ContextTooLong,
        ),
        (
            404,
            {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError"},
            ModelMissing,
        ),
        (401, {"error": "Unauthorized"}, BackendAuth),
        # llama.cpp
        (
            400,
            openai("the request exceeds the available context size", 400, "exceed_context_size_error"),
            ContextTooLong,
        ),
        (503, openai("Loading model", 503, "unavailable_error"), BackendOverloaded),
        # Ollama
        (404, openai('model "x" not found, try pulling it first', kind="api_error"), ModelMissing),
        # DeepSeek and OpenRouter
        (402, openai("Insufficient Balance", "invalid_request_error"), QuotaExhausted),
        (529, openai("overloaded"), BackendOverloaded),
        # Anthropic
        (401, anthropic("authentication_error", "invalid x-api-key"), BackendAuth),
        (402, anthropic("billing_error", "Your payment failed"), QuotaExhausted),
        (
            400,
            anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
            QuotaExhausted,
        ),
        (429, anthropic("rate_limit_error", "Too many tokens"), RateLimited),
        (429, anthropic("rate_limit_error", "No more", "contract_spend_limit_reached"), QuotaExhausted),
        (404, anthropic("not_found_error", "model: claude-x"), ModelMissing),
        (404, anthropic("not_found_error", "Not Found"), ProtocolViolation),
        (400, anthropic("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"), ContextTooLong),
        (
            400,
            anthropic(
                "invalid_request_error", "input length and `max_tokens` exceed context limit: 190 + 20 > 200"
            ),
            ContextTooLong,
        ),
        (413, anthropic("request_too_large", "Request exceeds the maximum size"), RequestRefused),
        (500, anthropic("api_error", "Internal server error"), BackendFailed),
        (504, anthropic("timeout_error", "Request timed out"), BackendTimeout),
        (529, anthropic("overloaded_error", "Overloaded"), BackendOverloaded),
        # A rejected key that vendors report as a bad request: Gemini, xAI
        (
            400,
            [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}],
            BackendAuth,
        ),
        (
            400,
            {"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}},
            BackendAuth,
        ),
        (400, {"code": "x", "error": "Incorrect API key provided"}, BackendAuth),
        # Azure
        (404, {"error": {"code": "DeploymentNotFound", "message": "no such deployment"}}, ModelMissing),
        # FastAPI, and proxies in front of the model
        (404, {"detail": "Not Found"}, ProtocolViolation),
        (405, {"detail": "Method Not Allowed"}, ProtocolViolation),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, RequestRefused),
        (404, "<html><title>404 Not Found</title></html>", ProtocolViolation),
        (502, "<html><title>502 Bad Gateway</title></html>", BackendFailed),
        (504, "", BackendTimeout),
        (408, "", BackendTimeout),
        (307, "", ProtocolViolation),
        (418, "teapot", RequestRefused),
    ],
)
def test_each_error_response_has_its_class(status, body, kind):
    error = error_of(status, body)
    assert type(error) is kind
    assert str(status) in error.detail


def test_an_html_page_is_described_by_its_title():
    error = error_of(502, "<html><head><title>502\nBad Gateway</title></head>" + "x" * 5000)
    assert error.detail == "HTTP 502: an HTML page (502 Bad Gateway)"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize(
    "form", [openai, lambda text: {"detail": text}, lambda text: text, lambda text: {"error": text}]
)
def test_no_key_is_ever_passed_on(status, form):
    error = error_of(status, form(f"Wrong key {KEY} or sk-abcdefghijklmnop, Bearer abcdefghijkl"))
    for secret in (KEY, "sk-abcdefghijklmnop", "abcdefghijkl"):
        assert secret not in error.detail
        assert secret not in str(error)


def test_a_rejected_key_is_not_repeated_even_if_masked():
    error = error_of(401, openai("Incorrect API key provided: veryse**********6789", "invalid_api_key"))
    assert error.detail == "HTTP 401"


@given(st.text(max_size=50), st.integers(270, 320), st.text(max_size=50))
def test_truncation_never_leaves_part_of_a_key(before, filling, after):
    cleaned = ERRORS.sanitize(f"{before} {'x' * filling} {KEY} {after}")
    assert KEY[:12] not in cleaned
    assert len(cleaned) <= 301
    assert cleaned.isprintable()


def test_a_vendors_message_is_one_short_line():
    error = error_of(400, openai("first\nsecond\tthird\x1b[31m " + "x" * 1000))
    assert "first second third [31m" in error.detail
    assert len(error.detail) < 330


def test_a_200_with_an_html_page_is_a_protocol_violation():
    error = ERRORS.from_unparsable(b"<!doctype html><title>Sign in</title>", {"content-type": "text/html"})
    assert type(error) is ProtocolViolation
    assert error.detail == "the response cannot be parsed: an HTML page (Sign in)"


# When to retry


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0),
        ({"retry-after": "1e300"}, MAX_RETRY_AFTER),
        ({"retry-after": "inf"}, MAX_RETRY_AFTER),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 99 Xyz 2026 00:00:00 GMT"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
    ],
)
def test_each_form_of_retry_after_is_read(headers, seconds):
    assert retry_after(headers, NOW) == seconds


def test_a_rate_limit_without_a_time_is_one_second():
    assert error_of(429, "").retry_after == 1.0
    assert error_of(429, "", retry_after="0").retry_after == 0.0


def test_an_error_that_is_not_transient_has_no_time():
    assert not hasattr(error_of(429, openai("", "insufficient_quota"), retry_after="7"), "retry_after")


@given(st.text(max_size=30))
def test_any_header_is_read_or_ignored(text):
    seconds = retry_after({"retry-after": text, "retry-after-ms": text}, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER
