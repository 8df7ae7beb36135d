"""The text and the reasoning of one reply, as their pieces arrive.

Self-hosted models write their reasoning into the text, in tags (<think> … </think>), where their server does
not take it out. Only a block at the beginning of a reply is reasoning: elsewhere the tags may be what the
text is about.
"""

from __future__ import annotations

from typing import Final

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.text_joiner import TextJoiner
from clawdbot_model_gateway.formats.vendor_profile import ThinkTags

OPEN_TAG: Final = "<think>"
"""The tag that may be in the prompt."""
TAGS: Final = {OPEN_TAG: "</think>", "<thinking>": "</thinking>", "[THINK]": "[/THINK]"}
"""First tag → last tag: of DeepSeek's and most others', of some fine-tuned models, and of Magistral."""


class ReplyText:
    """Adds the events of pieces of text and reasoning, without characters that are cut in two."""

    __slots__ = ("_closing", "_kept", "_may_open_again", "_reasoning", "_reasons", "_text", "_watches")

    def __init__(self, think_tags: ThinkTags) -> None:
        self._text = TextJoiner()
        self._reasoning = TextJoiner()
        self._watches = think_tags != "never"
        """Whether the text has to be looked at: it may still begin with a tag, or is inside of tags."""
        self._may_open_again = think_tags == "open"
        self._closing = TAGS[OPEN_TAG] if think_tags == "open" else ""
        """The tag that ends the reasoning in the text; empty outside of it."""
        self._reasons = think_tags == "open"
        """Whether the text has contained a block: white space around it belongs to the tags."""
        self._kept = ""
        """White space, and the beginning of what may be a tag."""

    def add(self, piece: str, out: list[Event]) -> None:
        """A piece of the text."""
        text = self._text.add(piece)
        if text and self._watches:
            self._kept += text
            self._take_tags(out)
        elif text:
            out.append(events.text_delta(text))

    def add_reasoning(self, piece: str, out: list[Event], signature: bytes = b"") -> None:
        """A piece of the reasoning. A server that takes it out of the text leaves no tags there."""
        text = self._reasoning.add(piece)
        if text or signature:
            if self._watches:
                self._stop_watching(out)
            out.append(events.reasoning_delta(text, signature=signature))

    def end(self, out: list[Event]) -> None:
        """The reply has ended."""
        if reasoning := self._reasoning.end():
            out.append(events.reasoning_delta(reasoning))
        self.add(self._text.end(), out)
        if self._closing and (rest := self._kept.rstrip()):
            out.append(events.reasoning_delta(rest))
        elif self._watches and not self._closing:
            self._stop_watching(out)

    def _take_tags(self, out: list[Event]) -> None:
        if self._may_open_again:
            # Some templates leave the first tag to the model after all.
            text = self._kept.lstrip()
            if text != OPEN_TAG and OPEN_TAG.startswith(text):
                return
            self._kept, self._may_open_again = text.removeprefix(OPEN_TAG).lstrip(), False
        more = True
        while more and self._kept:
            more = self._inside(out) if self._closing else self._before(out)

    def _before(self, out: list[Event]) -> bool:
        """Looks for a first tag. Whether more can be told from what has arrived."""
        text = self._kept.lstrip()
        opening = next((each for each in TAGS if text.startswith(each)), None)
        if opening is not None:
            self._closing, self._kept, self._reasons = TAGS[opening], text[len(opening) :].lstrip(), True
            return True
        if not any(each.startswith(text) for each in TAGS):
            self._stop_watching(out)
        return False

    def _inside(self, out: list[Event]) -> bool:
        """Looks for the last tag. Whether more can be told from what has arrived."""
        reasoning, tag, rest = self._kept.partition(self._closing)
        shown = reasoning if tag else reasoning[: len(reasoning) - _overlap(reasoning, self._closing)]
        shown = shown.rstrip()
        if shown:
            out.append(events.reasoning_delta(shown))
        self._kept = rest if tag else reasoning[len(shown) :]
        if tag:
            self._closing = ""
        return bool(tag)

    def _stop_watching(self, out: list[Event]) -> None:
        """All that follows is text."""
        text, self._kept = self._kept.lstrip() if self._reasons else self._kept, ""
        self._watches, self._closing = False, ""
        if text:
            out.append(events.text_delta(text))


def _overlap(text: str, tag: str) -> int:
    """Characters at the end of the text that may be the beginning of the tag."""
    return next(
        (size for size in range(min(len(text), len(tag) - 1), 0, -1) if tag.startswith(text[-size:])), 0
    )
