"""The error bound of an estimate holds: it is measured against a real vocabulary, script by script."""

from __future__ import annotations

import secrets

import pytest
from clawdbot_model_gateway.core.tokens.token_estimate import MIN_UNCERTAINTY, SCRIPTS, estimate_text
from clawdbot_model_gateway.tokenizer_files import load_tokenizer

from tests.support.scripts import SAMPLES
from tests.support.vocabularies import qwen_vocabulary

MEASURED = {
    # kind: (fewest tokens, most tokens) of cl100k, o200k, Qwen, DeepSeek and Claude 2
    "english": (60, 61),
    "english_technical": (57, 60),
    "german": (61, 86),
    "french": (63, 84),
    "spanish": (65, 88),
    "chinese": (60, 124),
    "japanese": (77, 124),
    "korean": (80, 140),
    "russian": (71, 129),
    "ukrainian": (93, 146),
    "python": (109, 117),
    "json": (106, 122),
    "digits": (83, 182),
    "emoji": (54, 92),
}
"""Measured on 2026-11-25 with the published vocabularies, which are not all available offline."""


@pytest.fixture(scope="module")
def qwen():
    return load_tokenizer(qwen_vocabulary(), "model.tokenizer")


@pytest.mark.parametrize("kind", SAMPLES)
def test_each_measured_vocabulary_lies_within_the_bound(kind):
    estimate = estimate_text(SAMPLES[kind])
    for tokens in MEASURED[kind]:
        assert abs(tokens - estimate.tokens) <= estimate.uncertainty + MIN_UNCERTAINTY


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_table_agrees_with_an_available_vocabulary(kind, qwen):
    """The count of the one vocabulary in this repository is within the table's range."""
    fewest, most = MEASURED[kind]
    assert fewest <= qwen.count(SAMPLES[kind]).tokens <= most


def test_a_mixture_stays_within_the_bound(qwen):
    text = "\n".join(SAMPLES.values()) * 3
    estimate = estimate_text(text)
    assert abs(qwen.count(text).tokens - estimate.tokens) <= estimate.uncertainty
    assert estimate.uncertainty / estimate.tokens < 0.4


def test_the_bound_is_tighter_than_a_guess():
    """The rule of thumb of four characters per token is wrong by a factor of four for Chinese."""
    assert all(script.bound <= 0.65 for script in SCRIPTS.values())
    assert estimate_text(SAMPLES["english"]).uncertainty < 0.3 * estimate_text(SAMPLES["english"]).tokens


def test_keys_and_hashes_are_not_counted_as_words(qwen):
    text = " ".join(secrets.token_urlsafe(400) for _ in range(3))
    estimate = estimate_text(text)
    assert abs(qwen.count(text).tokens - estimate.tokens) <= estimate.uncertainty + MIN_UNCERTAINTY
