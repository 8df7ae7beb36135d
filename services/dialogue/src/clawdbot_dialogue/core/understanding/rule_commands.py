"""From a message to commands: what the person wants, and which slots the message fills.

The order is that of certainty: set phrases ("cancel") first, then the start of another flow, then values for
slots, and a free text only where one was asked for. What is proposed here is checked by the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from clawdbot_dialogue.core.flow.slots.partial_values import NEXT
from clawdbot_dialogue.core.flow.slots.slot import Slot, root_of
from clawdbot_dialogue.core.language.normalization import fold, words
from clawdbot_dialogue.core.understanding.commands import Command
from clawdbot_dialogue.core.understanding.context import Situation
from clawdbot_dialogue.core.understanding.extraction_targets import Sought, sought, within
from clawdbot_dialogue.core.understanding.item_edits import changed, dropped, is_named, several
from clawdbot_dialogue.core.understanding.list_edits import edited, held_in, listed, named_in, no_more
from clawdbot_dialogue.core.understanding.slot_extraction import Values, find_values

_SHORT = 3
"""Words: "no thank you" is an answer to a yes-no question; a longer text that begins so is a text."""


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
    # "Change the time to 8": a number is then what that slot takes.
    anew = _said_anew(situation, folded)
    aim = anew if anew and flow.askable[anew].type != "string" else asked
    wanted = sought(flow, aim)
    # In a free text a day or a number is part of the text, unless the text is a correction.
    in_words = wanted.kind == "string" and free_text
    apart = not in_words or flow.locale.corrects(folded)
    known = situation.known
    values = find_values(flow, wanted, known, raw=text, folded=folded, now=now) if apart else Values()
    commands = [*_from_values(situation, wanted, values, folded)]
    if apart and flow.composed and (change := changed(situation, folded, now)):
        commands = [change, *[each for each in commands if not within(each.target, change.target)]]
    elif apart and wanted.records and (made := several(situation, wanted, text, now)):
        item = f"{made.target}.{NEXT}"
        commands = [made, *[each for each in commands if not within(each.target, item)]]
    if not commands and apart:
        edits = edited(situation, text, folded, now) if flow.composed and not in_words else ()
        commands = [*edits] or [*_to_say_anew(situation, anew, text)]
    if not commands and _is_unread(situation, values, folded):
        return commands
    if free_text and not commands:
        commands += _answer(situation, text, folded)
    elif wanted.kind == "boolean" and _adds(commands) and flow.locale.yes_no(folded):
        commands.append(Command("set_slot", asked, True))
    return commands


def _is_unread(situation: Situation, values: Values, folded: str) -> bool:
    """Whether a yes or no comes with a number that nobody could make anything of: "yes 5"."""
    flow, asked = situation.flow, situation.asked
    if values.by_slot or not asked or flow.askable[asked].type != "boolean" or "%" in folded:
        return False
    figures = any(map(str.isdigit, flow.locale.digits(folded)))
    return figures and flow.locale.only_yes_no(folded) is None


def _adds(commands: Iterable[Command]) -> bool:
    """Whether slots are only filled: "yes, under the name of Ada" still is a yes; a correction is none."""
    return all(command.name == "set_slot" for command in commands)


def set_phrase(situation: Situation, folded: str) -> Command | None:
    """The command that the whole (folded) message is; None for any other message."""
    flow, asked = situation.flow, situation.asked
    phrase = flow.locale.set_phrase(folded)
    if phrase is None or (not situation.collecting and phrase.name in ("chitchat", "help")):
        return None
    if phrase.name == "cancel_flow" and any(
        held_in(situation, slot, folded) or is_named(situation, slot, folded) for slot in flow.composed
    ):
        return None  # "cancel the olives"
    if phrase.name == "cancel_flow" and asked and no_more(situation, folded):
        return None  # 不要了, asked whether there is more
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
    flow, known = situation.flow, situation.known
    new: dict[str, object] = {}
    for name, value in values.by_slot.items():
        if isinstance(value, list):
            yield from listed(situation, flow.askable[name], value, folded)
        elif (name not in known or known[name] != value) and not _half(situation, name, values):
            new[name] = value
    for name, (first, second) in values.either.items():
        yield Command("clarify", name, [first, second])
        # Whose the other parts are is as open.
        item = name.rpartition(".")[0] if f".{NEXT}." in name else ""
        new = {path: value for path, value in new.items() if not (item and within(path, item))}
    for name, value in (_together(new, wanted.records) if wanted.records else new).items():
        yield _filled(situation, name, value, folded)


def _filled(situation: Situation, name: str, value: object, folded: str) -> Command:
    known = situation.known
    parts = value if isinstance(value, dict) else {}
    root, _, path = name.partition(".")
    if path.partition(".")[0] == NEXT and situation.flow.locale.lists.drops(folded):
        named = parts or {path.partition(".")[2]: value}
        return next(dropped(situation, situation.flow.slots[root], named), Command("none"))
    corrects = name in known or any(f"{name}.{each}" in known for each in parts)
    return Command("correct_slot" if corrects else "set_slot", name, value)


def _half(situation: Situation, name: str, values: Values) -> bool:
    """Whether a day or time is but half of a part without which its slot has a value: it is not meant."""
    moment, _, part = name.rpartition(".")
    root, _, inner = moment.partition(".")
    if root not in situation.slots or not inner or situation.flow.askable[moment].type != "datetime":
        return False
    other = f"{moment}.{'time' if part == 'date' else 'date'}"
    return other not in situation.known and other not in values.by_slot


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


def _to_say_anew(situation: Situation, name: str, text: str) -> Iterator[Command]:
    """A correction that names the slot: "change the date"; of a text also the value: "the city to Paris"."""
    if name:
        is_text = situation.flow.askable[name].type == "string"
        value = situation.flow.locale.changed_to(text) if is_text else ""
        yield Command("correct_slot", name, value or None)


def _said_anew(situation: Situation, folded: str) -> str:
    """The slot that a message names as one to be changed; empty where none."""
    wanted = situation.flow.locale.changed_slot(folded)
    known = dict.fromkeys((*situation.known, *map(root_of, situation.parts))) if wanted else {}
    for name in known:
        is_named = situation.flow.vocabulary.slots[name].name.search(wanted)
        if is_named and not situation.flow.askable[name].asked_only:
            return name
    return ""


def _answer(situation: Situation, text: str, folded: str) -> Iterator[Command]:
    """The message as the answer to a question that nothing but its place marks as one."""
    if not situation.asked or not folded:
        return
    if answer := no_more(situation, folded):
        yield answer
        return
    slot = situation.flow.askable[situation.asked]
    language = situation.flow.locale
    kind = (slot.item or slot).type
    yes = (language.only_yes_no if slot.item else language.yes_no)(folded)
    if kind == "boolean" and yes is not None:
        yield Command("set_slot", slot.name, yes)
    elif kind == "string" and (yes is None or words(folded) > _SHORT):
        yield from _in_words(situation, slot, text, folded)


def _in_words(situation: Situation, slot: Slot, text: str, folded: str) -> Iterator[Command]:
    """An answer in the person's own words."""
    if slot.item:
        if named := named_in(situation, slot, text, folded):
            yield from listed(situation, slot, named, folded)
    else:
        answer = situation.flow.locale.bare_name(text) if slot.names_person else ""
        yield Command("set_slot", slot.name, answer or text.strip())


def _yes_or_no(situation: Situation, folded: str) -> Command:
    yes = situation.flow.locale.yes_no(folded)
    if yes is None:
        return Command("none")
    return Command("affirm" if yes else "deny")
