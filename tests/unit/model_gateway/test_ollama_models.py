"""Ollama's reports about its models, and its vectors, are decoded."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from clawdbot_model_gateway.core.errors import ModelError, ProtocolViolation
from clawdbot_model_gateway.formats.ollama.embeddings import decode_embeddings
from clawdbot_model_gateway.formats.ollama.models import (
    ModelProfile,
    decode_show,
    decode_tags,
    decode_version,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_ollama import shown


def profile_of(num_ctx=None, **more):
    return decode_show(json.dumps(shown(**more)).encode(), num_ctx)


def test_the_context_length_is_the_models_limited_by_num_ctx():
    assert profile_of().context_length == 40_960
    assert profile_of(8192).context_length == 8192
    assert profile_of(1_000_000).context_length == 40_960
    assert profile_of(parameters='stop "<|im_end|>"\nnum_ctx    16384\ntop_k 4').context_length == 16_384
    assert profile_of(8192, parameters="num_ctx 16384").context_length == 8192


def test_capabilities_and_family_become_the_profile():
    assert profile_of() == ModelProfile(40_960)
    assert profile_of(capabilities=("embedding",)).chats is False
    assert profile_of(capabilities=("completion", "thinking")).thinks is True
    gpt_oss = profile_of(capabilities=("completion", "thinking"), family="gptoss")
    assert (gpt_oss.thinks, gpt_oss.takes_effort) == (True, True)


@pytest.mark.parametrize("length", [0, -1, 2**40, "long", None, 1.5])
def test_an_invalid_context_length_is_ignored(length):
    assert profile_of(length=length).context_length == 0


def test_a_model_without_capabilities_is_assumed_to_chat():
    assert decode_show(b"{}", None) == ModelProfile()
    assert decode_show(b"{}", 8192) == ModelProfile(8192)


def test_no_models_are_an_empty_list():
    assert decode_tags(b'{"models": null}') == []
    assert decode_tags(b'{"models": []}') == []


KEYS = [
    *("models", "name", "digest", "version", "capabilities", "details", "family", "model_info"),
    *("general.architecture", "None.context_length", "parameters", "embeddings", "model"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(JSON.map(lambda each: json.dumps(each).encode()) | st.binary(max_size=20))
def test_whatever_comes_only_model_errors_are_raised(body):
    for decode in (
        decode_version,
        decode_tags,
        lambda each: decode_show(each, None),
        lambda each: decode_embeddings(each, ["one"], "m"),
    ):
        with suppress(ModelError):
            decode(body)


# Vectors


def embedded(vectors, texts=("a", "b"), **more):
    return decode_embeddings(json.dumps({"embeddings": vectors, **more}).encode(), texts, "asked")


def test_each_text_has_a_vector():
    found = embedded([[1, 2.5], [3.0, 4.0]], model="nomic", prompt_eval_count=5)
    assert found.vectors == [[1, 2.5], [3.0, 4.0]]
    assert (found.model, found.usage.input_tokens) == ("nomic", 5)
    assert embedded([[1.0], [2.0]]).model == "asked"


@pytest.mark.parametrize("vectors", [[[1.0]], [[1.0], []], [[1.0], [1.0, 2.0]], [[1.0], ["x"]], None, "x"])
def test_anything_but_one_vector_for_each_text_is_a_protocol_violation(vectors):
    with pytest.raises(ProtocolViolation):
        embedded(vectors)
