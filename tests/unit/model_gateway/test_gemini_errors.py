"""Google's errors are mapped to their classes, and their text never contains a key."""

from __future__ import annotations

import json

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
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_gemini import KEY, WRONG_KEY, quota, reason, retry, status

ERRORS = ErrorMapper([KEY])
QUOTA = "You exceeded your current quota, please check your plan and billing details."


def answered(code, body, **headers):
    text = body if isinstance(body, str) else json.dumps(body)
    return ERRORS.from_response(
        code, text.encode(), {key.replace("_", "-"): each for key, each in headers.items()}
    )


def google(code, message="no", name=None, *details):
    return code, status(code, message, name, *details)


ANSWERS = [
    (google(400, WRONG_KEY, None, reason("API_KEY_INVALID")), BackendAuth),
    (google(400, "API key expired. Please renew the API key."), BackendAuth),
    (google(401, "Request had invalid authentication credentials.", "UNAUTHENTICATED"), BackendAuth),
    (google(403, "Your API key was reported as leaked."), BackendAuth),
    (google(403, "Generative Language API has not been used", None, reason("SERVICE_DISABLED")), BackendAuth),
    (google(403, "This API method requires billing", None, reason("BILLING_DISABLED")), QuotaExhausted),
    (google(400, "User location is not supported for the API use.", "FAILED_PRECONDITION"), BackendAuth),
    (google(403, "You do not have permission to access the File x or it may not exist."), RequestRefused),
    (google(400, "Invalid JSON payload received. Unknown name"), RequestRefused),
    (google(400, "Function call is missing a thought_signature in functionCall parts."), RequestRefused),
    (
        google(
            400, "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."
        ),
        ContextTooLong,
    ),
    (google(404, "models/gemini-9 is not found for API version v1beta"), ModelMissing),
    (google(429, "Resource has been exhausted (e.g. check quota)."), RateLimited),
    (google(429, QUOTA, None, quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier")), RateLimited),
    (google(429, QUOTA, None, quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")), QuotaExhausted),
    (google(429, QUOTA, None, quota("GenerateRequestsPerMinute", quotaValue="0")), QuotaExhausted),
    (google(429, "Your prepayment credits are depleted."), QuotaExhausted),
    (google(499, "The operation was cancelled.", "CANCELLED"), BackendFailed),
    (google(500, "An internal error has occurred."), BackendFailed),
    (google(503, "The model is overloaded. Please try again later."), BackendOverloaded),
    (google(504, "Deadline expired before operation could complete."), BackendTimeout),
    # Not in Google's form: a proxy, a gateway, a wrong path.
    ((404, "<html><title>Error 404 (Not Found)!!1</title></html>"), ProtocolViolation),
    ((502, "<html><title>502 Bad Gateway</title></html>"), BackendFailed),
    ((429, ""), RateLimited),
    ((529, {"error": "overloaded"}), BackendOverloaded),
    ((400, {"error": {"code": 400, "message": WRONG_KEY}}), BackendAuth),
]


@pytest.mark.parametrize(("answer", "error_class"), ANSWERS)
def test_each_answer_has_its_error_class(answer, error_class):
    code, body = answer
    error = answered(code, body)
    assert type(error) is error_class
    assert str(code) in error.detail


def test_an_error_may_be_in_a_list():
    assert type(answered(400, [status(400, WRONG_KEY, None, reason("API_KEY_INVALID"))])) is BackendAuth


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("7s", 7.0), ("34.074824224s", 34.075), ("0s", 0.0), ("999999999s", 86_400.0), ("soon", 1.0), (7, 1.0)],
)
def test_retry_after_comes_from_the_details(delay, seconds):
    assert answered(429, status(429, "slow down", None, retry(delay))).retry_after == seconds


def test_retry_after_comes_from_a_header_if_the_details_have_none():
    assert answered(429, status(429), retry_after="9").retry_after == 9.0


def test_an_exhausted_quota_has_no_retry_after():
    per_day = quota("GenerateRequestsPerDayPerProjectPerModel")
    assert not hasattr(answered(429, status(429, QUOTA, None, per_day, retry("7s"))), "retry_after")


def test_a_problem_with_the_account_is_passed_on():
    error = answered(400, status(400, "User location is not supported.", "FAILED_PRECONDITION"))
    assert error.detail == "HTTP 400 FAILED_PRECONDITION: User location is not supported."


@pytest.mark.parametrize("code", [400, 403, 404, 429, 500, 503])
def test_no_key_is_ever_passed_on(code):
    error = answered(code, status(code, f"Wrong key {KEY} for ?key={KEY}"))
    assert KEY not in error.detail
    assert KEY[:12] not in str(error)


def test_the_message_about_a_refused_key_is_not_passed_on():
    message = "API key AIzaSyTe*********pqrs not valid."
    assert answered(400, status(400, message, None, reason("API_KEY_INVALID"))).detail == (
        "HTTP 400 INVALID_ARGUMENT"
    )


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["@type", "violations", "reason", "quotaId", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(JSON, JSON, st.sampled_from(["RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "NEW"]))
def test_any_details_are_read_or_ignored(details, message, name):
    body = {"error": {"code": 429, "status": name, "message": message, "details": details}}
    assert "429" in ERRORS.from_response(429, json.dumps(body).encode(), {}).detail
