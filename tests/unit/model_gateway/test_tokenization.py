"""Long texts are counted in chunks, exactly where possible, and no chunk twice."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.core.tokens.tokenization import (
    MAX_CHUNK_CHARACTERS,
    MIN_CHUNK_CHARACTERS,
    CachingTokenizer,
    TextCount,
    chunks,
)
from clawdbot_model_gateway.tokenizer_files import load_tokenizer
from clawdbot_servicekit.errors import StartupError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.properties import examples
from tests.support.scripts import SAMPLES
from tests.support.vocabularies import qwen_vocabulary, train_tokenizer

ALL = "\n".join(SAMPLES.values()) + "\n"


@pytest.fixture(scope="module", params=["json", "tiktoken"])
def tokenizer(request, tmp_path_factory):
    """A tokenizer from each kind of file."""
    if request.param == "tiktoken":
        return load_tokenizer(qwen_vocabulary(), "here")
    return load_tokenizer(train_tokenizer(tmp_path_factory.mktemp("t") / "tokenizer.json"), "here")


class Counter:
    """Counts characters as tokens, and records the texts."""

    def __init__(self) -> None:
        self.counted: list[str] = []

    def count(self, text: str) -> int:
        self.counted.append(text)
        return len(text)


@given(st.lists(st.text(alphabet="a ñ\n\r\t.9界", max_size=60), max_size=400), st.integers(1, 40))
@settings(max_examples=examples(60))
def test_the_chunks_make_up_the_text(lines, repeats):
    text = "".join(lines) * repeats
    cut = [*chunks(text)]
    assert "".join(chunk for chunk, _ in cut) == text
    assert all(len(chunk) <= MAX_CHUNK_CHARACTERS for chunk, _ in cut)


def test_a_long_text_has_the_same_count_in_chunks_as_whole(tokenizer):
    text = ALL * 12
    assert len(text) > 4 * MIN_CHUNK_CHARACTERS
    counted = tokenizer.count(text)
    assert counted.uncertainty == 0
    assert counted.tokens == tokenizer._tokenizer.count(text)


def test_a_long_line_is_cut_and_adds_uncertainty(tokenizer):
    text = "word " * (MAX_CHUNK_CHARACTERS // 2)
    counted = tokenizer.count(text)
    assert counted.uncertainty >= 2
    assert abs(counted.tokens - tokenizer._tokenizer.count(text)) <= counted.uncertainty


def test_text_is_not_cut_at_lines_where_the_tokenizer_adds_a_prefix_to_each_text(tmp_path):
    tokenizer = load_tokenizer(train_tokenizer(tmp_path / "tokenizer.json", metaspace=True), "here")
    text = (SAMPLES["english"] + "\n") * 40
    assert MIN_CHUNK_CHARACTERS < len(text) < MAX_CHUNK_CHARACTERS
    assert tokenizer.count(text) == TextCount(tokenizer._tokenizer.count(text))


def test_a_common_prefix_is_counted_once():
    counter = Counter()
    tokenizer = CachingTokenizer(counter)
    prefix = ALL * 12
    tokenizer.count(prefix + "first\n")
    counted = len(counter.counted)
    assert tokenizer.count(prefix + "second\n").tokens == len(prefix) + len("second\n")
    assert len(counter.counted) == counted + 1


def test_the_cache_is_bounded():
    tokenizer = CachingTokenizer(Counter(), max_cached=3)
    for number in range(10):
        tokenizer.count(f"text {number}")
    assert len(tokenizer) == 3
    tokenizer.count("text 9")
    assert tokenizer.hits == 1


def test_text_that_looks_like_a_special_token_is_counted_as_text(tmp_path):
    tokenizer = load_tokenizer(train_tokenizer(tmp_path / "tokenizer.json"), "here")
    assert tokenizer.count("<|end|>").tokens > 1
    assert load_tokenizer(qwen_vocabulary(), "here").count("<|endoftext|>").tokens > 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.json", None, "cannot be read"),
        ("tokenizer.json", b"{}", "is not a valid tokenizer.json"),
        ("tokenizer.json", b"\xff\xfe", "is not a valid tokenizer.json"),
        ("qwen.tiktoken", b"nonsense here\n", "is not a valid .tiktoken file"),
        ("other.tiktoken", b"YQ== 0\n", "its name must begin with cl100k, o200k, qwen"),
        ("tokenizer.model", b"", "use a tokenizer.json or a .tiktoken file"),
    ],
)
def test_an_invalid_file_stops_the_start_with_one_sentence(tmp_path, name, content, message):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartupError, match=r"^model\.tokenizer: ") as refused:
        load_tokenizer(file, "model.tokenizer")
    assert message in str(refused.value)
