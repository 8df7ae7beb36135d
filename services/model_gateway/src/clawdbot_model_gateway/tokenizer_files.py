"""Tokenizers from files: a `tokenizer.json` of Hugging Face's kind, or a `.tiktoken` vocabulary.

Nothing is ever downloaded. Both libraries are extras, loaded only where the configuration names a file. Both
let other threads run while they count: `tokenizers` in encode_batch_fast, `tiktoken` in encode_ordinary.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawdbot_servicekit.errors import StartupError

from clawdbot_model_gateway.core.tokenization import RememberingTokenizer, Tokenizer

if TYPE_CHECKING:
    import tiktoken
    import tokenizers

CL100K: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_UPPER: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SHORT: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERNS: Final[Mapping[str, str]] = {
    "cl100k": CL100K,
    "o200k": (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SHORT}"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen": CL100K.replace(r"\p{N}{1,3}", r"\p{N}"),
    "p50k": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "r50k": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
}
"""Beginning of a vocabulary's file name → how it parts words, which the file itself does not say.

Source: tiktoken's openai_public, and Qwen's tokenization_qwen."""


def read_tokenizer(file: Path, place: str) -> RememberingTokenizer:
    """The tokenizer in a file; takes up to seconds, so call it in a thread.

    Args:
        file: `*.json` or `*.tiktoken`.
        place: where the configuration names it.

    Raises:
        StartupError: the file or the library is not there, or the file is no tokenizer.
    """
    read = _READERS.get(file.suffix)
    if read is None:
        raise StartupError(f"{place}: {file} is no tokenizer; give a tokenizer.json or a .tiktoken file.")
    try:
        return RememberingTokenizer(read(file, place))
    except OSError as error:
        raise StartupError(f"{place}: {file} cannot be read: {error.strerror or error}.") from None
    except ImportError as error:
        raise StartupError(
            f"{place}: {error.name} is not installed; install clawdbot-model-gateway[tokenizers]."
        ) from None


class JsonTokenizer:
    """A tokenizer.json."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        # As text: what a caller writes is never a special token.
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def count(self, text: str) -> int:
        """As the port says. A batch of one, since `encode` keeps all other threads waiting."""
        (encoded,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
        return len(encoded)


class VocabularyTokenizer:
    """A .tiktoken file."""

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encoding = encoding

    def count(self, text: str) -> int:
        """As the port says."""
        return len(self._encoding.encode_ordinary(text))


def _json(file: Path, place: str) -> Tokenizer:
    content = file.read_text(encoding="utf-8", errors="replace")
    # An extra, and 20 ms.
    import tokenizers

    try:
        return JsonTokenizer(tokenizers.Tokenizer.from_str(content))
    except Exception as error:  # noqa: BLE001 - the library raises bare Exception for a file that is wrong
        raise StartupError(f"{place}: {file} is no tokenizer.json: {error}.") from None


def _vocabulary(file: Path, place: str) -> Tokenizer:
    pattern = next((each for name, each in PATTERNS.items() if file.name.startswith(name)), None)
    if pattern is None:
        raise StartupError(
            f"{place}: {file} does not say how it parts words; "
            f"its name must begin with {', '.join(PATTERNS)}. A tokenizer.json says it itself."
        )
    content = file.read_bytes()
    # An extra.
    import tiktoken

    try:
        lines = (line.split() for line in content.splitlines() if line)
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
        encoding = tiktoken.Encoding(file.stem, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        encoding.encode_ordinary("".join(map(chr, range(128))))
    except (ValueError, KeyError, binascii.Error) as error:
        raise StartupError(f"{place}: {file} is no .tiktoken file: {error}.") from None
    return VocabularyTokenizer(encoding)


_READERS: Final[Mapping[str, Callable[[Path, str], Tokenizer]]] = {
    ".json": _json,
    ".tiktoken": _vocabulary,
}
