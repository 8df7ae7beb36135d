"""When to retry is read from headers, messages and fields, in every form that vendors use."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from clawdbot_model_gateway.core.errors import (
    BackendOverloaded,
    ContentFiltered,
    LimitTooSmall,
    ModelMissing,
    NoEndpoint,
    QuotaExhausted,
    RateLimited,
)
from clawdbot_model_gateway.http import ErrorMapper
from clawdbot_model_gateway.http.retry_after import MAX_RETRY_AFTER, retry_after
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC).timestamp()
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached: Limit 30000, Used 30000. Please try again in 1m0.363s. Visit …", 60.363),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 34.07s", 34.07),
        ("Please try again in 20ms.", 0.02),
        ("Please retry after 20 seconds.", 20.0),
        ("Please retry after 1 minute.", 60.0),
        ("Requests have exceeded call rate limit. Please retry after 86400 seconds.", DAY),
        ("Try again in 7 days", DAY),
        ("You can retry in 2h", 2 * HOUR),
        ("retry in 1h2m3s", 3723.0),
        ("Please wait 5 seconds before trying again", 5.0),
        ("You must wait for about 3 minutes", 180.0),
        ("Please retry your request in 2 hours and 30 minutes", 9000.0),
        ("Rate limited, retrying after 500 ms", 0.5),
        ("Limit resets at 2026-11-30T12:01:30Z", 90.0),
        ("Your limit will reset at 2026-11-30 13:00:00 UTC", HOUR),
        ("quota resets on 2026-11-30T14:00:00.123456789+01:00", HOUR + 0.123456),
        ("Limit resets at 2026-11-30T11:00:00Z", 0.0),
        ("Limit resets at 2036-01-01T00:00:00Z", DAY),
        ("Your quota will reset after 3h21m7s.", 12_067.0),
        ("rate limited (retry-after: 12)", 12.0),
        ('upstream said {"retry_after": 12}', 12.0),
        ('[{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]', 34.0),
        ("Please try again in 5s. The quota resets in 10 minutes.", 600.0),
        ("Try again in a minute, or in an hour.", 60.0),
        ("retry after Mon, 30 Nov 2026 12:20:00 GMT", 1200.0),
        ("slow down; retry-after-ms: 1500", 1.5),
        ("Expected to be available in 12 seconds.", 12.0),
        ("请求过于频繁，请在 20 秒后重试", 20.0),
        ("请 2 分钟后再试", 120.0),
        ("Back off for 15 seconds.", 15.0),
        ("Slow down. You can make another request in 14 seconds", 14.0),
        ("The next request is allowed in 25s", 25.0),
        ("After 17 seconds you may retry.", 17.0),
        ("Rate limit: after 17 seconds you can try again", 17.0),
        ("Stopped after 17 seconds. Retry later.", None),
        ("The upstream timed out after 120s, please retry", None),
        ("A worker ended after 2 hours, try another one", None),
        ("Only 10 requests are allowed per 60 seconds", None),
        ("Please try again later.", None),
        ("Limit 20 requests per 1 minute exceeded", None),
        ("Too many requests. Try again later. Limit: 60 per hour", None),
        ("", None),
    ],
)
def test_a_message_says_when_to_try_again(message, seconds):
    assert retry_after({}, NOW, message) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "6m0s"}, "", 360.0),
        ({"x-ratelimit-reset-requests": "120ms"}, "", 0.12),
        ({"x-ratelimit-reset-tokens": "17"}, "", 17.0),
        ({"x-ratelimit-reset": str(int(NOW) + 30)}, "", 30.0),
        ({"X-RateLimit-Reset": str(int(NOW + 30) * 1000)}, "", 30.0),
        ({"ratelimit-reset": "50"}, "", 50.0),
        ({"anthropic-ratelimit-requests-reset": "2026-11-30T12:00:09Z"}, "", 9.0),
        ({"anthropic-ratelimit-input-tokens-reset": "2026-11-30T12:01:00Z"}, "", 60.0),
        ({"retry-after": "1m30s"}, "", 90.0),
        ({"retry-after": "2026-11-30T12:00:30Z"}, "", 30.0),
        # The longest of what applies.
        ({"retry-after": "2"}, "Please try again in 7s", 7.0),
        ({"retry-after": "20"}, "Please try again in 7s", 20.0),
        (
            {"retry-after": "2", "x-ratelimit-reset-tokens": "9s", "x-ratelimit-remaining-tokens": "0"},
            "",
            9.0,
        ),
        # Not of another limit than the one that was hit.
        (
            {
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-remaining-requests": "58",
                "x-ratelimit-reset-tokens": "8s",
                "x-ratelimit-remaining-tokens": "0",
            },
            "",
            8.0,
        ),
        (
            {
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-reset-tokens": "8s",
                "x-ratelimit-remaining-tokens": "120",
            },
            "Rate limit reached on tokens per min (TPM): Limit 6000, Used 5880, Requested 420.",
            8.0,
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2026-11-30T12:00:01Z",
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2026-11-30T12:00:31Z",
            },
            "",
            31.0,
        ),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "58"}, "", None),
        ({"x-ratelimit-reset-requests": "soon"}, "", None),
        ({"x-ratelimit-limit-requests": "60"}, "", None),
        ({"x-ratelimit-reset-requests": "400d"}, "", MAX_RETRY_AFTER),
    ],
)
def test_headers_about_limits_count_if_they_are_about_the_limit_that_was_hit(headers, message, seconds):
    assert retry_after(headers, NOW, message) == pytest.approx(seconds)


def test_they_do_not_count_after_other_errors():
    assert retry_after({"x-ratelimit-reset-requests": "6m0s"}, NOW, "", 500) is None


@given(st.text(), st.text(max_size=40))
def test_nothing_that_a_vendor_writes_breaks_it(message, header):
    headers = {"retry-after": header, "x-ratelimit-reset-requests": header}
    for text in (message, f"try again in {message}", f"resets at {header}"):
        seconds = retry_after(headers, NOW, text)
        assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


def error_of(status, body, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ErrorMapper([]).from_response(status, json.dumps(body).encode(), named)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"message": "slow down", "type": "rate_limit_error"}}, 1.0),
        ({"error": {"message": "Please try again in 1m0.363s.", "type": "tokens"}}, 60.363),
        ({"error": {"message": "slow down", "retry_after": 4}}, 4.0),
        ({"error": {"message": "slow down", "metadata": {"retry_after_ms": 1500}}}, 1.5),
        ({"error": {"message": "x", "metadata": {"headers": {"X-RateLimit-Reset": "99999999999999"}}}}, DAY),
        ({"message": "You are rate limited, retry after 7 seconds", "code": "rate_limited"}, 7.0),
    ],
)
def test_an_error_knows_when_to_retry(body, seconds):
    error = error_of(429, body)
    assert (type(error), error.retry_after) == (RateLimited, pytest.approx(seconds))


def test_an_overload_knows_it_too():
    error = error_of(503, {"error": {"message": "Overloaded. Please retry after 20 seconds"}})
    assert (type(error), error.retry_after) == (BackendOverloaded, 20.0)


# Google's form, over any of its APIs


def google(code, status, message="no", *details):
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
QUOTA = "You exceeded your current quota, please check your plan and billing details."


def quota(quota_id, **more):
    violation = {"quotaMetric": "generate_content_requests", "quotaId": quota_id, **more}
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (google(429, "RESOURCE_EXHAUSTED", QUOTA, quota("RequestsPerMinutePerProject"), RETRY), RateLimited),
        (google(429, "RESOURCE_EXHAUSTED", QUOTA, quota("RequestsPerDayPerProject"), RETRY), QuotaExhausted),
        (
            google(429, "RESOURCE_EXHAUSTED", QUOTA, quota("PerMinute", quotaValue="0"), RETRY),
            QuotaExhausted,
        ),
        (
            google(
                429, "RESOURCE_EXHAUSTED", "Quota exceeded for metric: free_tier_requests, limit: 0, model: x"
            ),
            QuotaExhausted,
        ),
        (google(429, "RESOURCE_EXHAUSTED", "Quota exceeded for 'requests per day'"), QuotaExhausted),
        (google(429, "RESOURCE_EXHAUSTED", "Quota exceeded for 'requests per minute'"), RateLimited),
        (
            google(429, "RESOURCE_EXHAUSTED", "Input tokens per minute: Limit 6000, Requested 42084"),
            LimitTooSmall,
        ),
        (google(404, "NOT_FOUND", "models/gemini-9 is not found for API version v1main"), ModelMissing),
        (google(404, "NOT_FOUND", "No endpoints found for this model."), NoEndpoint),
        (
            google(400, "INVALID_ARGUMENT", "The prompt was blocked: PROHIBITED_CONTENT"),
            ContentFiltered,
        ),
        (google(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), BackendOverloaded),
    ],
)
def test_googles_errors_have_their_class_also_over_chat_completions(body, kind, listed):
    error = error_of(body["error"]["code"], [body] if listed else body)
    assert type(error) is kind


@pytest.mark.parametrize("listed", [False, True])
def test_googles_retry_info_is_honoured(listed):
    body = google(429, "RESOURCE_EXHAUSTED", QUOTA, quota("RequestsPerMinute"), RETRY)
    assert error_of(429, [body] if listed else body).retry_after == 34.5


def test_googles_message_says_it_where_the_details_are_missing():
    body = google(429, "RESOURCE_EXHAUSTED", f"{QUOTA} Please retry in 34.074824224s.")
    assert error_of(429, body).retry_after == pytest.approx(34.0748, abs=0.001)
