r"""Regular expressions (RE2) of a flow: compiled once, and bounded in size.

RE2 matches in linear time, but `(\p{L}{1,40}\w{1,40}){1,9}` is a program of 430,000 instructions: 0.2 s to
compile, with the GIL held. So one pattern, and all of a flow together, may be only so large.
"""

from __future__ import annotations

import re
from typing import Any, Final

import re2  # type: ignore[import-untyped]

MAX_MEMORY: Final = 1024**2
"""Bytes of one program, about 24,000 instructions. Compiling stops at it, after at most 20 ms."""
MAX_PATTERN_SIZE: Final = 24_000
"""What a pattern counts that is too large, since it was compiled in part."""
MAX_FLOW_SIZE: Final = 400_000
"""Of all patterns of a flow: 0.2 s. Each worker compiles them when the flow is deployed, and at its start."""
EVALUATED: Final = 20
"""How many times a pattern in an expression counts, since CEL compiles it again at each evaluation."""
_CLASS: Final = re.compile(r"\\[pP]")
_CLASS_SIZE: Final = 200
"""Instructions that could be compiled while RE2 reads one `\\p{…}`."""
_OPTIONS: Final = {"max_mem": MAX_MEMORY, "log_errors": False, "never_capture": True}


class PatternError(ValueError):
    """A pattern that a flow cannot have."""

    def __init__(self, kind: str, message: str, hint: str) -> None:
        self.kind = kind
        """syntax or cost."""
        self.message = message
        self.hint = hint
        super().__init__(message)


class Pattern:
    """A compiled pattern."""

    __slots__ = ("_program", "size")

    def __init__(self, text: str) -> None:
        """Compiles it.

        Raises:
            PatternError: it is invalid or too large.
        """
        options = re2.Options()
        for name, value in _OPTIONS.items():
            setattr(options, name, value)
        try:
            self._program: Any = re2.compile(text, options)
        except UnicodeEncodeError:
            raise _refusal(b"") from None
        except re2.error as error:
            raise _refusal(error.args[0]) from None
        self.size: int = self._program.programsize + _CLASS_SIZE * len(_CLASS.findall(text))
        """In instructions, about half a microsecond each to compile."""

    def fits(self, text: str) -> bool:
        """Whether it matches the whole text."""
        return self._program.fullmatch(text) is not None


class FlowPatterns:
    """Compiles the patterns of one flow, and counts how large they are together."""

    def __init__(self) -> None:
        """There are none yet."""
        self._compiled: dict[tuple[str, int], Pattern] = {}
        self._left = MAX_FLOW_SIZE

    def compile(self, text: str, weight: int = 1) -> Pattern:
        """Compiles a pattern, at most once.

        Args:
            text: RE2.
            weight: how many times it counts.

        Raises:
            PatternError: it is invalid or too large, or there would be too many.
        """
        if self._left <= 0:
            raise PatternError(
                "cost",
                "The patterns of the flow are too large together.",
                "Use fewer or simpler ones: repeat with + or *, and write [a-z] rather than \\p{L}.",
            )
        if (text, weight) not in self._compiled:
            self._left -= MAX_PATTERN_SIZE  # also if it fails
            pattern = self._compiled[text, weight] = Pattern(text)
            self._left += MAX_PATTERN_SIZE - weight * pattern.size
        return self._compiled[text, weight]


def _refusal(error: bytes) -> PatternError:
    if b"too large" in error:
        return PatternError(
            "cost",
            "The pattern is too large: a counted repeat such as {1,40} copies what it repeats, "
            "and \\p{…} is large.",
            "Repeat with + or *, limit the length with max_length, and write [a-z] where that is enough.",
        )
    if b"repetition size" in error:
        return PatternError(
            "cost",
            "A counted repeat of the pattern is too large: counts in each other multiply to more than 1,000, "
            "or the larger one of {2,5} comes first.",
            "Repeat with + or *, or use smaller counts.",
        )
    hint = "Write it in RE2 syntax, which has no look-around and no back-references."
    return PatternError("syntax", "The pattern is not a valid regular expression.", hint)
