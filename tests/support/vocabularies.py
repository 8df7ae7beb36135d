"""Real tokenizer vocabularies without a download: Qwen's from a package, and one that is trained here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from tests.support.scripts import SAMPLES


def qwen_vocabulary() -> Path:
    """The file with Qwen's vocabulary of 151,643 tokens, a resource of Alibaba's client library."""
    try:
        package = distribution("dashscope")
    except PackageNotFoundError:
        pytest.skip("dashscope, of the dev group, is not installed")
    path = Path(str(package.locate_file("dashscope/resources/qwen.tiktoken")))
    assert path.is_file(), "dashscope no longer carries qwen.tiktoken"
    return path


def train_tokenizer(file: Path, *, metaspace: bool = False) -> Path:
    """Writes a tokenizer.json with a few hundred tokens; `metaspace` prepends a marker to each text."""
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace() if metaspace else byte_level
    tokenizer.decoder = decoders.Metaspace() if metaspace else decoders.ByteLevel()
    alphabet = [] if metaspace else pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<unk>", "<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SAMPLES.values(), trainer)
    tokenizer.save(str(file))
    return file
