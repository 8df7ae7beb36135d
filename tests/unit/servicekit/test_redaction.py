"""Secrets and personal data are redacted in any text."""

import pytest
from clawdbot_servicekit.redaction import Redactor, luhn, secrets_of
from clawdbot_servicekit.settings import Secret, Section
from hypothesis import given
from hypothesis import strategies as st

HIDDEN = [
    ("our key", "cb_live_ab12_d9f8a7sd9f87asd9f8"),
    ("OpenAI's", "sk-proj-abcdefgh12345678"),
    ("Anthropic's", "sk-ant-api03-abcdefgh12345678"),
    ("Google's", "AIzaSyA1234567890abcdefghijklmnopqrstuv"),
    ("GitHub's", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("AWS's", "AKIAIOSFODNN7EXAMPLE"),
    ("Hugging Face's", "hf_abcdefghijklmnopqrstuvwx"),
    ("a JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP"),
    ("a private key", "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----"),
    ("an e-mail address", "ann.smith+x@example.co.uk"),
    ("a phone number", "+49 30 1234567"),
    ("an American one", "(555) 123-4567"),
    ("a Chinese one", "13812345678"),
    ("a card", "4111 1111 1111 1111"),
    ("a card without spaces", "5500005555555559"),
    ("a configured value", "correct-horse"),
]
NAMED = [
    "authorization: {}",
    "Authorization: Bearer {}",
    "authorization=Basic {}",
    '{{"x-api-key": "{}"}}',
    "api_key='{}'",
    "password={}&next=1",
    "bearer {}",
    "https://user:{}@host/path",
]
CLEAN = [
    "2026-11-24T08:34:27.123456Z",
    "127.0.0.1:8080 and [::1]:8080",
    "550e8400-e29b-41d4-a716-446655440000",
    "max_tokens=200 tokens: 5",
    "1732437267123 milliseconds",
    "the order 4111 1111 1111 1112 has no valid check digit",
    "/clawdbot.dialogue.v1.DialogueService/SendTurn",
    "http://model-server:11434/v1",
    "basic understanding",
]


@pytest.fixture(scope="module")
def redactor():
    return Redactor(["correct-horse", "short"])


@pytest.mark.parametrize("text", [text for _, text in HIDDEN], ids=[name for name, _ in HIDDEN])
def test_what_looks_like_a_secret_is_hidden(redactor, text):
    assert redactor.text(f"before {text} after") == "before [redacted] after"


@pytest.mark.parametrize("form", NAMED)
def test_what_is_named_a_secret_is_hidden(redactor, form):
    redacted = redactor.text(form.format("Zm9vYmFyYmF6"))
    assert "Zm9vYmFyYmF6" not in redacted
    assert "[redacted]" in redacted


@pytest.mark.parametrize("text", CLEAN)
def test_other_text_stays(redactor, text):
    assert redactor.text(text) == text


def test_a_configured_value_too_short_to_be_a_secret_is_not_searched_for(redactor):
    assert redactor.text("a short word") == "a short word"


def test_sensitive_keys_are_hidden_at_any_depth(redactor):
    value = {"call": [{"Authorization": 7, "kept": 7, "who": ("ann@example.com",)}], "password": None}
    assert redactor.value(value) == {
        "call": [{"Authorization": "[redacted]", "kept": 7, "who": ["[redacted]"]}],
        "password": None,
    }


def test_bytes_and_objects_are_searched_too(redactor):
    class Thing:
        def __repr__(self):
            return "Thing(correct-horse)"

    assert redactor.value([b"sk-abcdefgh1234", Thing()]) == ["[redacted]", "Thing([redacted])"]


@given(st.text(alphabet="abk-_ 0123456789+@.:=/\"'[]redactedBEARER", max_size=80))
def test_redaction_is_idempotent(text):
    redactor = Redactor(["redacted-0"])
    once = redactor.text(text)
    assert redactor.text(once) == once


@given(st.sampled_from([text for _, text in HIDDEN]), st.sampled_from(NAMED))
def test_redaction_of_named_secrets_is_idempotent(secret, form):
    redactor = Redactor(["correct-horse"])
    once = redactor.text(form.format(secret))
    assert redactor.text(once) == once


def test_luhn_tells_a_card_from_a_number():
    assert luhn("4111 1111 1111 1111")
    assert not luhn("4111 1111 1111 1112")


def test_the_secrets_of_a_configuration_are_found_at_any_depth():
    class Inner(Section):
        key: Secret

    class Outer(Section):
        token: Secret | None = None
        keys: dict[str, tuple[Inner, ...]]

    settings = Outer.model_validate({"token": "one", "keys": {"a": [{"key": "two"}]}})
    assert list(secrets_of(settings)) == ["one", "two"]


def test_a_secret_that_is_learned_later_is_hidden_too():
    redactor = Redactor(["first-secret-value"])
    text = "first-secret-value, second-secret-value"
    assert "second-secret-value" in redactor.text(text)
    redactor.learn(["second-secret-value"])
    assert "secret-value" not in redactor.text(text)
