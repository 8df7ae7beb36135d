"""Loads tokenizers from files: Hugging Face's `tokenizer.json`, or a `.tiktoken` vocabulary.

Nothing is downloaded. Both libraries are extras, imported only where the configuration names a file. Both
release the GIL while they count: `tokenizers` in encode_batch_fast, `tiktoken` in encode_ordinary.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.regular_files import read_regular
from typing_extensions import override

from clawdbot_model_gateway.core.tokens.tokenization import CachingTokenizer, Tokenizer

if TYPE_CHECKING:
    import tiktoken
    import tokenizers

CL100K_PATTERN: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_UPPER: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SHORT: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
MAX_FILE_BYTES: Final = 256 * 1024 * 1024
"""The largest published ones have 35 MB."""
SPLIT_PATTERNS: Final[Mapping[str, str]] = {
    "cl100k": CL100K_PATTERN,
    "o200k": (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SHORT}"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen": CL100K_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}"),
    "p50k": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "r50k": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
}
"""Prefix of a vocabulary's file name → the pattern that splits text into words, which is not in the file.

Source: tiktoken's openai_public, and Qwen's tokenization_qwen."""


def load_tokenizer(file: Path, config_path: str) -> CachingTokenizer:
    """The tokenizer in a file. Call it in a thread: it may take seconds.

    Args:
        file: `*.json` or `*.tiktoken`.
        config_path: the configuration key that names it, for messages.

    Raises:
        StartupError: the file or the library is missing, or the file is not a tokenizer.
    """
    load = _LOADERS.get(file.suffix)
    if load is None:
        raise StartupError(
            f"{config_path}: {file} is not a tokenizer; use a tokenizer.json or a .tiktoken file."
        )
    try:
        return CachingTokenizer(load(file, config_path))
    except OSError as error:
        raise StartupError(f"{config_path}: {file} cannot be read: {error.strerror or error}.") from None
    except ImportError as error:
        raise StartupError(
            f"{config_path}: {error.name} is not installed; install clawdbot-model-gateway[tokenizers]."
        ) from None


class JsonTokenizer(Tokenizer):
    """The tokenizer of a tokenizer.json file."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        # Callers' text never contains special tokens: what looks like one is encoded as text.
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @override
    def count(self, text: str) -> int:
        # A batch of one, since `encode` does not release the GIL.
        (encoded,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
        return len(encoded)


class TiktokenTokenizer(Tokenizer):
    """The tokenizer of a .tiktoken file."""

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encoding = encoding

    @override
    def count(self, text: str) -> int:
        return len(self._encoding.encode_ordinary(text))


def _load_json(file: Path, config_path: str) -> Tokenizer:
    content = read_regular(file, MAX_FILE_BYTES).decode(errors="replace")
    # An extra that takes 20 ms to import.
    import tokenizers

    try:
        return JsonTokenizer(tokenizers.Tokenizer.from_str(content))
    except Exception as error:  # noqa: BLE001 - the library raises bare Exception for an invalid file
        raise StartupError(f"{config_path}: {file} is not a valid tokenizer.json: {error}.") from None


def _load_tiktoken(file: Path, config_path: str) -> Tokenizer:
    pattern = next((each for name, each in SPLIT_PATTERNS.items() if file.name.startswith(name)), None)
    if pattern is None:
        raise StartupError(
            f"{config_path}: the pattern that splits words is unknown for {file}; its name must begin with "
            f"{', '.join(SPLIT_PATTERNS)}. A tokenizer.json contains the pattern itself."
        )
    content = read_regular(file, MAX_FILE_BYTES)
    # An extra.
    import tiktoken

    try:
        lines = (line.split() for line in content.splitlines() if line)
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
        encoding = tiktoken.Encoding(file.stem, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        encoding.encode_ordinary("".join(map(chr, range(128))))
    except (ValueError, KeyError, binascii.Error) as error:
        raise StartupError(f"{config_path}: {file} is not a valid .tiktoken file: {error}.") from None
    return TiktokenTokenizer(encoding)


_LOADERS: Final[Mapping[str, Callable[[Path, str], Tokenizer]]] = {
    ".json": _load_json,
    ".tiktoken": _load_tiktoken,
}
