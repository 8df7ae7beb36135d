"""Long texts are counted piece by piece, exactly where that can be, and no piece twice."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.core.tokenization import LONGEST, PIECE, RememberingTokenizer, TextCount, pieces
from clawdbot_model_gateway.tokenizer_files import read_tokenizer
from clawdbot_servicekit.errors import StartupError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.scripts import SAMPLES
from tests.support.vocabularies import qwen_vocabulary, train_tokenizer

ALL = "\n".join(SAMPLES.values()) + "\n"


@pytest.fixture(scope="module", params=["json", "tiktoken"])
def tokenizer(request, tmp_path_factory):
    """One of each kind of file."""
    if request.param == "tiktoken":
        return read_tokenizer(qwen_vocabulary(), "here")
    return read_tokenizer(train_tokenizer(tmp_path_factory.mktemp("t") / "tokenizer.json"), "here")


class Counter:
    """Characters as tokens; notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def count(self, text: str) -> int:
        self.asked.append(text)
        return len(text)


@given(st.lists(st.text(alphabet="a ñ\n\r\t.9界", max_size=60), max_size=400), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_the_pieces_are_the_text(lines, repeats):
    text = "".join(lines) * repeats
    cut = [*pieces(text)]
    assert "".join(piece for piece, _ in cut) == text
    assert all(len(piece) <= LONGEST for piece, _ in cut)


def test_a_long_text_counts_the_same_in_pieces_as_whole(tokenizer):
    text = ALL * 12
    assert len(text) > 4 * PIECE
    counted = tokenizer.count(text)
    assert counted.uncertain == 0
    assert counted.tokens == tokenizer._tokenizer.count(text)


def test_a_long_line_is_cut_and_says_so(tokenizer):
    text = "word " * (LONGEST // 2)
    counted = tokenizer.count(text)
    assert counted.uncertain >= 2
    assert abs(counted.tokens - tokenizer._tokenizer.count(text)) <= counted.uncertain


def test_a_tokenizer_that_marks_the_beginning_of_texts_is_not_cut_into_lines(tmp_path):
    tokenizer = read_tokenizer(train_tokenizer(tmp_path / "tokenizer.json", metaspace=True), "here")
    text = (SAMPLES["english"] + "\n") * 40
    assert PIECE < len(text) < LONGEST
    assert tokenizer.count(text) == TextCount(tokenizer._tokenizer.count(text))


def test_a_common_prefix_is_counted_once():
    counter = Counter()
    tokenizer = RememberingTokenizer(counter)
    prefix = ALL * 12
    tokenizer.count(prefix + "first\n")
    asked = len(counter.asked)
    assert tokenizer.count(prefix + "second\n").tokens == len(prefix) + len("second\n")
    assert len(counter.asked) == asked + 1


def test_what_is_remembered_is_bounded():
    tokenizer = RememberingTokenizer(Counter(), remembered=3)
    for number in range(10):
        tokenizer.count(f"text {number}")
    assert len(tokenizer) == 3
    tokenizer.count("text 9")
    assert tokenizer.hits == 1


def test_what_looks_like_a_special_token_is_text(tmp_path):
    tokenizer = read_tokenizer(train_tokenizer(tmp_path / "tokenizer.json"), "here")
    assert tokenizer.count("<|end|>").tokens > 1
    assert read_tokenizer(qwen_vocabulary(), "here").count("<|endoftext|>").tokens > 1


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("missing.json", None, "cannot be read"),
        ("tokenizer.json", b"{}", "is no tokenizer.json"),
        ("tokenizer.json", b"\xff\xfe", "is no tokenizer.json"),
        ("qwen.tiktoken", b"nonsense here\n", "is no .tiktoken file"),
        ("other.tiktoken", b"YQ== 0\n", "its name must begin with cl100k, o200k, qwen"),
        ("tokenizer.model", b"", "give a tokenizer.json or a .tiktoken file"),
    ],
)
def test_a_wrong_file_is_one_sentence_at_the_start(tmp_path, name, content, told):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartupError, match=r"^model\.tokenizer: ") as refused:
        read_tokenizer(file, "model.tokenizer")
    assert told in str(refused.value)
