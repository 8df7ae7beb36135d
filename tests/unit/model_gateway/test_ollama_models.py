"""What Ollama tells of its models."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from clawdbot_model_gateway.core.errors import ModelFailure, ProtocolViolation
from clawdbot_model_gateway.formats.ollama.embeddings import read_embeddings
from clawdbot_model_gateway.formats.ollama.models import ModelFacts, read_show, read_tags, read_version
from clawdbot_servicekit.errors import InvalidRequest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_ollama import shown


def facts_of(num_ctx=None, **more):
    return read_show(json.dumps(shown(**more)).encode(), num_ctx)


def test_a_model_has_the_context_that_it_was_trained_for_and_what_bounds_it():
    assert facts_of().context_length == 40_960
    assert facts_of(8192).context_length == 8192
    assert facts_of(1_000_000).context_length == 40_960
    assert facts_of(parameters='stop "<|im_end|>"\nnum_ctx    16384\ntop_k 4').context_length == 16_384
    assert facts_of(8192, parameters="num_ctx 16384").context_length == 8192


def test_what_a_model_can_do_is_told():
    assert facts_of() == ModelFacts(40_960)
    assert facts_of(capabilities=("embedding",)).chats is False
    assert facts_of(capabilities=("completion", "thinking")).thinks is True
    degrees = facts_of(capabilities=("completion", "thinking"), family="gptoss")
    assert (degrees.thinks, degrees.thinks_by_degrees) == (True, True)


@pytest.mark.parametrize("length", [0, -1, 2**40, "long", None, 1.5])
def test_what_is_no_length_is_not_told(length):
    assert facts_of(length=length).context_length == 0


def test_what_is_not_told_is_not_denied():
    assert read_show(b"{}", None) == ModelFacts()
    assert read_show(b"{}", 8192) == ModelFacts(8192)


def test_models_without_a_list_are_none():
    assert read_tags(b'{"models": null}') == []
    assert read_tags(b'{"models": []}') == []


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
def test_whatever_comes_only_declared_failures_are_raised(body):
    for reads in (
        read_version,
        read_tags,
        lambda each: read_show(each, None),
        lambda each: read_embeddings(each, ["one"], "m", None),
    ):
        with suppress(ModelFailure):
            reads(body)


# Vectors


def embedded(vectors, texts=("a", "b"), dimensions=None, **more):
    return read_embeddings(json.dumps({"embeddings": vectors, **more}).encode(), texts, "asked", dimensions)


def test_each_text_has_a_vector():
    told = embedded([[1, 2.5], [3.0, 4.0]], model="nomic", prompt_eval_count=5)
    assert told.vectors == [[1, 2.5], [3.0, 4.0]]
    assert (told.model, told.usage.input_tokens) == ("nomic", 5)
    assert embedded([[1.0], [2.0]]).model == "asked"


@pytest.mark.parametrize("vectors", [[[1.0]], [[1.0], []], [[1.0], [1.0, 2.0]], [[1.0], ["x"]], None, "x"])
def test_what_is_not_one_vector_for_each_is_a_violation(vectors):
    with pytest.raises(ProtocolViolation):
        embedded(vectors)


def test_a_model_whose_vectors_are_too_short_refuses_the_wish():
    assert embedded([[1.0], [2.0]], dimensions=1).vectors == [[1.0], [2.0]]
    with pytest.raises(InvalidRequest, match="dimensions"):
        embedded([[1.0], [2.0]], dimensions=4)
