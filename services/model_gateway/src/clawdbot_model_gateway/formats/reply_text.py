"""The text and the reasoning of one reply, as their pieces arrive.

Self-hosted models write their reasoning into the text, in tags (<think> … </think>), where their server does
not take it out. Only a block at the beginning of a reply is reasoning: elsewhere the tags may be what the
text is about. A last tag without a first one says that all before it was reasoning, unless it is quoted or
inside a sentence.
"""

from __future__ import annotations

import re
from typing import Final

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.text_joiner import TextJoiner
from clawdbot_model_gateway.formats.vendor_profile import ThinkTags

OPEN_TAG: Final = "<think>"
"""The tag that may be in the prompt."""
LAST_TAG: Final = "</think>"
TAGS: Final = {
    OPEN_TAG: LAST_TAG,
    "<thinking>": "</thinking>",
    "[THINK]": "[/THINK]",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "<longcat_think>": "</longcat_think>",
    "◁think▷": "◁/think▷",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|channel|>analysis<|message|>": "<|end|>",
}
"""First tag → last tag: of DeepSeek's and most others', of some fine-tuned models, of Magistral, of Gemini
over Chat Completions, of others fine-tuned, of Seed-OSS, LongCat, Kimi-VL, OpenThinker, Command A, and
gpt-oss."""
ANSWER_TAGS: Final = {
    "<|begin_of_solution|>": "<|end_of_solution|>",
    "<|START_RESPONSE|>": "<|END_RESPONSE|>",
    "<|channel|>commentary<|message|>": "<|end|>",
    "<|channel|>final<|message|>": "<|return|>",
}
"""The same around the answer, of the models that mark it."""
NEXT_MESSAGE: Final = "<|start|>assistant"
"""What gpt-oss writes between its channels."""
MARKS: Final = (*TAGS, *ANSWER_TAGS, NEXT_MESSAGE)
FIRST_CHARACTERS: Final = frozenset(each[0] for each in MARKS)
QUOTES: Final = frozenset("`'\"“”‘’«»「」『』")
"""Around a tag that the text is about."""
IN_A_SENTENCE: Final = frozenset(["", *" .,;:!?)"])
"""What follows a tag that the text is about, with a space before it."""
LEAKS: Final = (f"{OPEN_TAG}{LAST_TAG}", LAST_TAG)
_LEAK: Final = re.compile(rf"\A\s*({OPEN_TAG}\s*)?{LAST_TAG}\s*")
CODE_FENCE: Final = "```"


class ReplyText:
    """Adds the events of pieces of text and reasoning, without characters that are cut in two."""

    __slots__ = (
        *("_answers", "_closing", "_in_block", "_kept", "_leaks", "_may_open_again", "_nested"),
        *("_opened_in_prompt", "_reasoning", "_reasons", "_repeats", "_seeks_lone", "_seen", "_text"),
        *("_thoughts", "_watches", "found"),
    )

    def __init__(self, think_tags: ThinkTags) -> None:
        self.found: ThinkTags | None = None
        """What the reply says about the model's next ones."""
        self._seeks_lone = think_tags == "auto"
        """Whether a last tag without a first one would make reasoning of the text before it."""
        self._opened_in_prompt = think_tags == "open"
        """Whether the reply is inside a thought only because the mode says so."""
        self._seen: list[str] = []
        """Text while a lone tag is looked for, or reasoning while the first tag is only thought to be in the
        prompt."""
        self._text = TextJoiner()
        self._reasoning = TextJoiner()
        self._watches = think_tags != "never"
        """Whether the text has to be looked at: it may still begin with a tag, or is inside of tags."""
        self._may_open_again = think_tags == "open"
        self._closing = TAGS[OPEN_TAG] if think_tags == "open" else ""
        """The tag that ends the reasoning in the text; empty outside of it."""
        self._answers = False
        """Whether it is the answer that the tag ends."""
        self._nested = False
        """Whether a first tag is inside of the block: then what follows its last tag may end in another."""
        self._repeats = False
        """Whether the block is what the server sends as reasoning as well."""
        self._thoughts: list[str] = []
        """The reasoning that came apart from the text."""
        self._in_block = False
        """Whether anything was shown of what is between two tags: white space before it belongs to them."""
        self._reasons = think_tags == "open"
        """Whether the text has contained a block: white space around it belongs to the tags."""
        self._kept = ""
        """White space, and the beginning of what may be a tag."""
        self._leaks = False
        """Whether the text may begin with tags that a server left there when it took the reasoning out."""

    def add(self, piece: str, out: list[Event]) -> None:
        """A piece of the text."""
        text = self._text.add(piece)
        if text and self._watches:
            self._kept += text
            self._take_tags(out)
        elif text and self._seeks_lone:
            self._kept += text
            self._seek_lone_tag(out)
        elif text and self._leaks:
            self._kept += text
            self._drop_leak(out)
        elif text:
            out.append(events.text_delta(text))

    def add_reasoning(self, piece: str, out: list[Event], signature: bytes = b"") -> None:
        """A piece of the reasoning. A server that takes it out of the text leaves at most bare tags there."""
        text = self._reasoning.add(piece)
        if text or signature:
            if self._closing and not (self._opened_in_prompt or self._answers):
                self._repeats = True
            else:
                self._leaks = self._leaks or self._watches
                self._end_watching(out)
            self._thoughts.append(text)
            out.append(events.reasoning_delta(text, signature=signature))

    def end(self, out: list[Event], *, answered: bool) -> None:
        """The reply has ended.

        Args:
            out: the last events are added here.
            answered: whether the model ended on its own: then the reply has an answer.
        """
        if reasoning := self._reasoning.end():
            out.append(events.reasoning_delta(reasoning))
        self.add(self._text.end(), out)
        if self._leaks and self._kept:
            self._kept, kept = "", self._kept
            out.append(events.text_delta(kept))
        if not self._closing:
            self._end_watching(out)
            return
        if self._answers:
            self._stop_watching(out)
        elif self._repeats:
            self._show_unless_repeated("".join(self._seen) + self._kept, out)
        elif rest := self._kept.rstrip():
            self._seen.append(rest)
            out.append(events.reasoning_delta(rest))
        if self._opened_in_prompt and answered and self._seen:
            # No thought ended: it was the answer, and not inside a thought.
            out.append(events.text_delta("".join(self._seen)))
            self.found = "auto"

    def _show_unless_repeated(self, block: str, out: list[Event], tag: str = "") -> bool:
        """Shows a block, with its last tag, if it is not what came as reasoning. Whether it has shown it."""
        other = block.strip() not in "".join(self._thoughts)
        if other:
            first = next(first for first, last in TAGS.items() if last == self._closing)
            out.append(events.text_delta(first + block + tag))
        return other

    def _drop_leak(self, out: list[Event]) -> None:
        """Shows the text, without a thought or a last tag at its beginning."""
        bare = "".join(self._kept.split())
        if any(each.startswith(bare) and each != bare for each in LEAKS):
            return
        if bare.startswith(OPEN_TAG) and not bare.startswith(LEAKS[0]):
            # MiniMax sends its reasoning in the text, too.
            self._watches, self._repeats, self._leaks = True, True, False
            self._take_tags(out)
            return
        text, self._kept = _LEAK.sub("", self._kept), ""
        self._leaks = bare in LEAKS  # White space may follow.
        if text:
            out.append(events.text_delta(text))

    def _take_tags(self, out: list[Event]) -> None:
        if self._may_open_again:
            # Some templates leave the first tag to the model after all.
            text = self._kept.lstrip()
            if text != OPEN_TAG and OPEN_TAG.startswith(text):
                return
            self._opened_in_prompt = not text.startswith(OPEN_TAG)
            self._kept, self._may_open_again = text.removeprefix(OPEN_TAG).lstrip(), False
        more = True
        while more and self._kept:
            more = self._inside(out) if self._closing else self._before(out)

    def _before(self, out: list[Event]) -> bool:
        """Looks for a first tag. Whether more can be told from what has arrived."""
        text = self._kept.lstrip()
        if text and text[0] not in FIRST_CHARACTERS:
            # The fast path for nearly every reply.
            self._stop_watching(out)
            return False
        mark = next((each for each in MARKS if text.startswith(each)), None)
        if mark is not None:
            self._answers = mark in ANSWER_TAGS
            self._closing = TAGS.get(mark) or ANSWER_TAGS.get(mark, "")
            self._kept, self._reasons, self._seeks_lone = text[len(mark) :].lstrip(), True, False
            return True
        if self._seeks_lone and text.startswith(LAST_TAG):
            # The prompt, or the model, thought nothing.
            self._kept, self._reasons, self._seeks_lone = text.removeprefix(LAST_TAG).lstrip(), True, False
            return True
        if not any(each.startswith(text) for each in (*MARKS, *((LAST_TAG,) if self._seeks_lone else ()))):
            self._stop_watching(out)
        return False

    def _inside(self, out: list[Event]) -> bool:
        """Looks for the last tag. Whether more can be told from what has arrived."""
        if not self._in_block:
            self._kept = self._kept.lstrip()
        reasoning, tag, rest = self._kept.partition(self._closing)
        held = max(_overlap(reasoning, each) for each in (self._closing, OPEN_TAG))
        shown = (reasoning if tag else reasoning[: len(reasoning) - held]).rstrip()
        self._nested = self._nested or (OPEN_TAG in shown and self._closing == LAST_TAG)
        if shown:
            self._in_block = True
            if self._opened_in_prompt or self._repeats:
                self._seen.append(shown)
            if not self._repeats:
                out.append(events.text_delta(shown) if self._answers else events.reasoning_delta(shown))
        self._kept = rest if tag else reasoning[len(shown) :]
        if tag and self._repeats and self._show_unless_repeated("".join(self._seen), out, tag):
            # The answer begins with tags that it is about.
            self._reasons, self._repeats = False, False
            self._stop_watching(out)
            return False
        if tag:
            self._closing, self._opened_in_prompt, self._answers, self._in_block = "", False, False, False
            self._seeks_lone, self._repeats = self._nested, False
            self._seen.clear()
        return bool(tag)

    def _stop_watching(self, out: list[Event]) -> None:
        """All that follows is text."""
        text, self._kept = self._kept.lstrip() if self._reasons else self._kept, ""
        self._watches, self._closing, self._opened_in_prompt, self._answers = False, "", False, False
        if self._seeks_lone:
            self._kept = text
            self._seek_lone_tag(out)
        elif text:
            out.append(events.text_delta(text))

    def _end_watching(self, out: list[Event]) -> None:
        """All that was kept, and all that follows, is text."""
        if self._watches:
            self._stop_watching(out)
        if self._seeks_lone:
            self._seek_lone_tag(out, at_end=True)
            self._seeks_lone = False
        if self._watches:
            self._stop_watching(out)

    def _seek_lone_tag(self, out: list[Event], *, at_end: bool = False) -> None:
        """Shows the text, up to a last tag without a first one."""
        if LAST_TAG[0] not in self._kept:
            # The fast path for nearly every piece.
            self._show(self._kept, out)
            self._kept = ""
            return
        while True:
            before, tag, rest = self._kept.partition(LAST_TAG)
            if not tag or not (rest or at_end):
                # What follows the tag decides whether it is quoted.
                held = len(tag) if tag or at_end else _overlap(before, LAST_TAG)
                self._show(self._kept[: len(self._kept) - held], out)
                self._kept = self._kept[len(self._kept) - held :]
                return
            self._show(before, out)
            if self._is_lone(rest):
                break
            self._show(tag, out)
            self._kept = rest
        out.append(events.text_was_reasoning())
        self.found = None if self._nested else "open"
        # Another block, or white space, may follow.
        self._seeks_lone, self._watches, self._reasons, self._kept = False, True, True, rest
        self._take_tags(out)

    def _is_lone(self, rest: str) -> bool:
        """Whether a last tag after what was shown ends a thought, and is not what the text is about."""
        shown = "".join(self._seen)
        quoted = bool({shown[-1:], rest[:1]} & QUOTES) or shown.count(CODE_FENCE) % 2 == 1
        in_a_sentence = shown[-1:] == " " and rest[:1] in IN_A_SENTENCE
        return OPEN_TAG not in shown and not quoted and not in_a_sentence

    def _show(self, text: str, out: list[Event]) -> None:
        if text:
            self._seen.append(text)
            out.append(events.text_delta(text))


def _overlap(text: str, tag: str) -> int:
    """Characters at the end of the text that may be the beginning of the tag."""
    return next(
        (size for size in range(min(len(text), len(tag) - 1), 0, -1) if tag.startswith(text[-size:])), 0
    )
