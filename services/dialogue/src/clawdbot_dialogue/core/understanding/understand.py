"""From a message to commands: what the person wants, and which slots the message fills.

The order is that of certainty: set phrases ("cancel") first, then the start of another flow, then values for
slots, and a free text only where one was asked for. What is proposed here is checked by the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.understanding.commands import Command
from clawdbot_dialogue.core.understanding.folding import fold, words
from clawdbot_dialogue.core.understanding.sought import sought
from clawdbot_dialogue.core.understanding.values import Values, find_values

_SHORT = 3
"""Words: "no thank you" is an answer to a yes-no question; a longer text that begins so is a text."""


class Situation(Struct, frozen=True):
    """Where a message falls."""

    flow: Flow
    slots: Mapping[str, object]
    """The slots that have a value."""
    asked: str = ""
    """The slot that was asked for; empty where none."""
    collecting: bool = True
    """False where a model answers: small talk and cries for help are then its business."""
    others: tuple[Flow, ...] = ()
    """The flows that may be started from here."""


def understand(situation: Situation, text: str, now: datetime) -> tuple[Command, ...]:
    """What a message means, as commands that nobody has checked yet; never empty: at least `none`.

    Args:
        situation: Where it falls.
        text: The message as written, whatever it holds.
        now: Decides what "tomorrow" means.
    """
    folded = fold(text)
    if phrase := set_phrase(situation, folded):
        return (phrase,)
    start = _start(situation, folded)
    commands = fill(situation, text, folded, now, free_text=start is None) if situation.collecting else []
    if start:
        commands.append(start)
    return tuple(commands) or (_yes_or_no(situation, folded),)


def fill(situation: Situation, text: str, folded: str, now: datetime, *, free_text: bool) -> list[Command]:
    """The slots that a message fills or corrects.

    Args:
        situation: Where it falls.
        text: The message as written.
        folded: The message folded.
        now: Decides what "tomorrow" means.
        free_text: Whether the message as a whole may be the answer to a question.
    """
    flow, asked = situation.flow, situation.asked
    wanted = sought(flow, asked)
    # In a free text a day or a number is part of the text, unless the text is a correction.
    apart = wanted.kind != "string" or not free_text or flow.locale.corrects(folded)
    values = find_values(flow, wanted, raw=text, folded=folded, now=now) if apart else Values()
    commands = [*_from_values(situation, values)]
    if not commands and apart:
        commands += _to_say_anew(situation, folded)
    if free_text and not commands:
        commands += _answer(situation, text, folded)
    elif wanted.kind == "boolean" and _adds(commands) and flow.locale.yes_no(folded):
        commands.append(Command("set_slot", asked, True))
    return commands


def _adds(commands: Iterable[Command]) -> bool:
    """Whether slots are only filled: "yes, under the name of Ada" still is a yes; a correction is none."""
    return all(command.name == "set_slot" for command in commands)


def set_phrase(situation: Situation, folded: str) -> Command | None:
    """The command that the whole (folded) message is; None for any other message."""
    flow, asked = situation.flow, situation.asked
    phrase = flow.locale.set_phrase(folded)
    if phrase is None or (not situation.collecting and phrase.name in ("chitchat", "help")):
        return None
    kind = flow.slots[asked].type if asked else ""
    if kind == "enum" and flow.vocabulary.slots[asked].value_in(folded):
        return None
    if kind == "boolean" and phrase.name == "chitchat" and flow.locale.yes_no(folded) is not None:
        return None
    return Command(phrase.name, value=phrase.kind or None)


def _start(situation: Situation, folded: str) -> Command | None:
    """The flow whose trigger the message holds, the longest one."""
    best, name = 0, ""
    for other in situation.others:
        length = other.vocabulary.triggered_by(folded)
        if length > best:
            best, name = length, other.name
    if not name:
        return None
    asked = situation.flow.slots.get(situation.asked)
    # Within the answer to an open question a trigger is likely just mentioned.
    mentioned = asked is not None and asked.type == "string" and 2 * best < len(folded)
    return None if mentioned and not situation.flow.locale.asks(folded) else Command("start_flow", name)


def _from_values(situation: Situation, values: Values) -> Iterator[Command]:
    for name, value in values.by_slot.items():
        if name not in situation.slots:
            yield Command("set_slot", name, value)
        elif situation.slots[name] != value:
            yield Command("correct_slot", name, value)
    for name, (first, second) in values.either.items():
        yield Command("clarify", name, [first, second])


def _to_say_anew(situation: Situation, folded: str) -> Iterator[Command]:
    """A correction that does not say the new value: "change the date"."""
    wanted = situation.flow.locale.changed_slot(folded)
    for name in situation.slots if wanted else ():
        slot = situation.flow.slots[name]
        if not slot.asked_only and situation.flow.vocabulary.slots[name].name.search(wanted):
            yield Command("correct_slot", name, None)
            return


def _answer(situation: Situation, text: str, folded: str) -> Iterator[Command]:
    """The message as the answer to a question that nothing but its place marks as one."""
    if not situation.asked or not folded:
        return
    slot = situation.flow.slots[situation.asked]
    language = situation.flow.locale
    yes = language.yes_no(folded)
    if slot.type == "boolean" and yes is not None:
        yield Command("set_slot", slot.name, yes)
    elif slot.type == "string" and (yes is None or words(folded) > _SHORT):
        answer = language.bare_name(text) if slot.names_person else ""
        yield Command("set_slot", slot.name, answer or text.strip())


def _yes_or_no(situation: Situation, folded: str) -> Command:
    yes = situation.flow.locale.yes_no(folded)
    if yes is None:
        return Command("none")
    return Command("affirm" if yes else "deny")
