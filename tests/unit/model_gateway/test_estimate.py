"""An estimate's bound is a promise: it is measured against a real vocabulary, script by script."""

from __future__ import annotations

import secrets

import pytest
from clawdbot_model_gateway.core.token_estimate import SCRIPTS, SLACK, estimate_of
from clawdbot_model_gateway.tokenizer_files import read_tokenizer

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
"""Measured on 2026-11-25 with the vocabularies as they are published; not all can be had offline."""


@pytest.fixture(scope="module")
def qwen():
    return read_tokenizer(qwen_vocabulary(), "model.tokenizer")


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_vocabulary_measured_lies_within_the_bound(kind):
    found = estimate_of(SAMPLES[kind])
    for tokens in MEASURED[kind]:
        assert abs(tokens - found.tokens) <= found.uncertain + SLACK


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_table_is_not_made_up(kind, qwen):
    """The one vocabulary that is here gives a count between the table's."""
    fewest, most = MEASURED[kind]
    assert fewest <= qwen.count(SAMPLES[kind]).tokens <= most


def test_a_mixture_stays_within_the_bound(qwen):
    text = "\n".join(SAMPLES.values()) * 3
    found = estimate_of(text)
    assert abs(qwen.count(text).tokens - found.tokens) <= found.uncertain
    assert found.uncertain / found.tokens < 0.4


def test_the_bound_is_tighter_than_a_guess():
    """Four characters a token, as a rule of thumb has it, is off by four for Chinese."""
    assert all(script.bound <= 0.65 for script in SCRIPTS.values())
    assert estimate_of(SAMPLES["english"]).uncertain < 0.3 * estimate_of(SAMPLES["english"]).tokens


def test_keys_and_hashes_are_no_words(qwen):
    text = " ".join(secrets.token_urlsafe(400) for _ in range(3))
    found = estimate_of(text)
    assert abs(qwen.count(text).tokens - found.tokens) <= found.uncertain + SLACK
