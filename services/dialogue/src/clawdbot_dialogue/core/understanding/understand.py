"""From a message to commands: what the person wants, and which slots the message fills.

The order is that of certainty: set phrases ("cancel") first, then the start of another flow, then values for
slots, and a free text only where one was asked for. What is proposed here is checked by the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.understanding.commands import Command
from clawdbot_dialogue.core.understanding.folding import fold, words
from clawdbot_dialogue.core.understanding.sought import Sought, sought
from clawdbot_dialogue.core.understanding.values import Values, find_values
from clawdbot_dialogue.core.understanding.vocabulary import any_of

_SHORT = 3
"""Words: "no thank you" is an answer to a yes-no question; a longer text that begins so is a text."""


class Situation(Struct, frozen=True):
    """Where a message falls."""

    flow: Flow
    slots: Mapping[str, object]
    """The slots that have a value, and the parts of slots that have one, by their paths."""
    asked: str = ""
    """The slot, or part of one, that was asked for; empty where none."""
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
    known = situation.slots
    values = find_values(flow, wanted, known, raw=text, folded=folded, now=now) if apart else Values()
    commands = [*_from_values(situation, wanted, values, folded)]
    commands = commands or _taken_off(situation, folded)
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
    kind = sought(flow, asked).kind
    if kind == "enum" and flow.vocabulary.slots[asked].values_in(folded):
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
    # Within the answer to an open question a trigger is likely just mentioned.
    mentioned = sought(situation.flow, situation.asked).kind == "string" and 2 * best < len(folded)
    return None if mentioned and not situation.flow.locale.asks(folded) else Command("start_flow", name)


def _from_values(situation: Situation, wanted: Sought, values: Values, folded: str) -> Iterator[Command]:
    known = situation.slots
    new: dict[str, object] = {}
    for name, found in values.by_slot.items():
        value = _list(situation, name, found, folded) if isinstance(found, list) else found
        if name not in known or known[name] != value:
            new[name] = value
    for name, value in (_together(new, wanted.records) if wanted.records else new).items():
        corrects = name in known or (
            isinstance(value, dict) and any(f"{name}.{each}" in known for each in value)
        )
        yield Command("correct_slot" if corrects else "set_slot", name, value)
    for name, (first, second) in values.either.items():
        yield Command("clarify", name, [first, second])


def _together(found: Mapping[str, object], records: Iterable[Slot]) -> dict[str, object]:
    """What was found, parts of one value together: with the last of them an item of a list is whole."""
    grouped = dict(found)
    for record in records:
        paths = [each for each in found if each.startswith(f"{record.name}.")]
        if len(paths) > 1:
            whole: dict[str, Any] = {}
            for path in paths:
                *holders, last = path.removeprefix(f"{record.name}.").split(".")
                within = whole
                for holder in holders:
                    within = within.setdefault(holder, {})
                within[last] = grouped.pop(path)
            grouped[record.name] = whole
    return grouped


def _list(situation: Situation, name: str, named: list[object], folded: str) -> list[object] | None:
    """The list that a message makes of the one that there is, by naming some items; None for an empty one."""
    language, held = situation.flow.locale, situation.slots.get(name)
    before = held if isinstance(held, list) else []
    if language.drops(folded):
        return [each for each in before if each not in named] or None
    if language.corrects(folded) and not language.adds(folded):
        return named
    counts = situation.flow.askable[name].repeats
    return [*before, *(each for each in named if counts or each not in before)]


def _taken_off(situation: Situation, folded: str) -> list[Command]:
    """Items in a person's own words are known again only where they are held: "without Bob"."""
    lists = (slot for slot in situation.flow.composed if slot.item and slot.item.type == "string")
    for slot in lists if situation.flow.locale.drops(folded) else ():
        held = situation.slots.get(slot.name)
        if isinstance(held, list) and (said := any_of(held)):
            off = {each[0] for each in said.finditer(folded)}
            if left := [each for each in held if fold(each) not in off]:
                return [Command("correct_slot", slot.name, left)] if left != held else []
    return []


def _to_say_anew(situation: Situation, folded: str) -> Iterator[Command]:
    """A correction that does not say the new value: "change the date"."""
    wanted = situation.flow.locale.changed_slot(folded)
    for name in situation.slots if wanted else ():
        slot = situation.flow.askable[name]
        if not slot.asked_only and situation.flow.vocabulary.slots[name].name.search(wanted):
            yield Command("correct_slot", name, None)
            return


def _answer(situation: Situation, text: str, folded: str) -> Iterator[Command]:
    """The message as the answer to a question that nothing but its place marks as one."""
    if not situation.asked or not folded:
        return
    slot = situation.flow.askable[situation.asked]
    language = situation.flow.locale
    yes, short = language.yes_no(folded), words(folded) <= _SHORT
    kind = (slot.item or slot).type
    if slot.item and ((yes is not None and short) or language.enough(folded)):
        # Whether there are more items: the one answer to a question that is not for a value.
        yield Command("affirm" if yes else "deny", slot.name)
    elif kind == "boolean" and yes is not None:
        yield Command("set_slot", slot.name, yes)
    elif kind == "string" and (yes is None or not short):
        yield from _in_words(situation, slot, text, folded)


def _in_words(situation: Situation, slot: Slot, text: str, folded: str) -> Iterator[Command]:
    """An answer in the person's own words."""
    language = situation.flow.locale
    if slot.item:
        named = [language.bare_name(each) if slot.names_person else each for each in language.items(text)]
        value = _list(situation, slot.name, [each for each in named if each], folded)
        yield Command("correct_slot" if slot.name in situation.slots else "set_slot", slot.name, value)
    else:
        answer = language.bare_name(text) if slot.names_person else ""
        yield Command("set_slot", slot.name, answer or text.strip())


def _yes_or_no(situation: Situation, folded: str) -> Command:
    yes = situation.flow.locale.yes_no(folded)
    if yes is None:
        return Command("none")
    return Command("affirm" if yes else "deny")
