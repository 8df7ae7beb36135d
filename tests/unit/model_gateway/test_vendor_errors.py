"""What vendors' errors mean, by kind; and that no key is ever among what is said of them."""

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
from clawdbot_model_gateway.http import VendorErrors
from clawdbot_model_gateway.http.retry_after import LONGEST, retry_after
from hypothesis import given
from hypothesis import strategies as st

KEY = "verysecretkey-0123456789"
ERRORS = VendorErrors([KEY])
NOW = 1_800_000_000.0


def answered(status, body, **headers):
    text = body if isinstance(body, str) else json.dumps(body)
    return ERRORS.answered(
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
        # A key that a vendor calls a bad request: Gemini, xAI
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
        # FastAPI, and whoever stands before the model
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
def test_an_answer_means_what_it_means(status, body, kind):
    failure = answered(status, body)
    assert type(failure) is kind
    assert str(status) in failure.detail


def test_an_html_page_is_named_by_its_title_and_not_repeated():
    failure = answered(502, "<html><head><title>502\nBad Gateway</title></head>" + "x" * 5000)
    assert failure.detail == "it answered 502: an HTML page (502 Bad Gateway)"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize(
    "form", [openai, lambda text: {"detail": text}, lambda text: text, lambda text: {"error": text}]
)
def test_no_key_is_ever_passed_on(status, form):
    failure = answered(status, form(f"Wrong key {KEY} or sk-abcdefghijklmnop, Bearer abcdefghijkl"))
    for secret in (KEY, "sk-abcdefghijklmnop", "abcdefghijkl"):
        assert secret not in failure.detail
        assert secret not in str(failure)


def test_a_refused_key_is_not_even_repeated_mangled():
    failure = answered(401, openai("Incorrect API key provided: veryse**********6789", "invalid_api_key"))
    assert failure.detail == "it answered 401"


@given(st.text(max_size=50), st.integers(270, 320), st.text(max_size=50))
def test_no_cut_leaves_a_part_of_a_key(before, filling, after):
    said = ERRORS.clean(f"{before} {'x' * filling} {KEY} {after}")
    assert KEY[:12] not in said
    assert len(said) <= 301
    assert said.isprintable()


def test_a_vendors_sentence_is_one_short_line():
    failure = answered(400, openai("first\nsecond\tthird\x1b[31m " + "x" * 1000))
    assert "first second third [31m" in failure.detail
    assert len(failure.detail) < 330


def test_a_200_that_is_a_page_is_no_answer():
    failure = ERRORS.garbled(b"<!doctype html><title>Sign in</title>", {"content-type": "text/html"})
    assert type(failure) is ProtocolViolation
    assert failure.detail == "it answered an HTML page (Sign in)"


# When to come back


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
        ({"retry-after": "1e300"}, LONGEST),
        ({"retry-after": "inf"}, LONGEST),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 99 Xyz 2026 00:00:00 GMT"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
    ],
)
def test_every_form_of_retry_after_is_read(headers, seconds):
    assert retry_after(headers, NOW) == seconds


def test_a_rate_limit_without_a_time_says_a_second():
    assert answered(429, "").retry_after == 1.0
    assert answered(429, "", retry_after="0").retry_after == 0.0


def test_what_waiting_does_not_mend_says_no_time():
    assert not hasattr(answered(429, openai("", "insufficient_quota"), retry_after="7"), "retry_after")


@given(st.text(max_size=30))
def test_any_header_is_read_or_passed_over(text):
    seconds = retry_after({"retry-after": text, "retry-after-ms": text}, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST
