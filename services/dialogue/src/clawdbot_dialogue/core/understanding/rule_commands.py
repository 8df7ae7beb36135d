"""Generates commands from a message by rules: what the person wants, and which slots the message fills.

The most certain comes first: set phrases ("cancel"), then the start of another flow, then slot values, and
free text only if it was asked for. The machine checks the commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from clawdbot_dialogue.core.flow.slots.partial_values import NEXT
from clawdbot_dialogue.core.flow.slots.slot import Slot, root_slot
from clawdbot_dialogue.core.language.normalization import MAX_READ_CHARS, count_words, normalize
from clawdbot_dialogue.core.understanding.commands import Command
from clawdbot_dialogue.core.understanding.context import MessageContext
from clawdbot_dialogue.core.understanding.extraction_targets import ExtractionTargets, is_within, targets_for
from clawdbot_dialogue.core.understanding.item_edits import (
    changed_items,
    names_item,
    remove_items,
    several_items,
)
from clawdbot_dialogue.core.understanding.list_edits import (
    answer_to_more,
    mentioned_items,
    named_items,
    unprompted_edits,
    update_list,
)
from clawdbot_dialogue.core.understanding.restated_values import mark_values
from clawdbot_dialogue.core.understanding.slot_extraction import ExtractedValues, extract_slots

_MAX_YES_NO_WORDS = 3
"""Words of an answer that is only a yes or no: "no thank you". A longer one may be free text."""


def generate_commands(context: MessageContext, text: str, now: datetime) -> tuple[Command, ...]:
    """The commands that a message stands for, not yet checked; at least one, `none` if nothing is understood.

    Args:
        context: The context of the message.
        text: The message as written; may be anything.
        now: The person's time, which decides what "tomorrow" means.
    """
    normalized = normalize(text)
    if phrase := set_phrase_command(context, normalized):
        return (phrase,)
    start = _start_flow(context, normalized)
    commands = (
        slot_commands(context, text, normalized, now, free_text=start is None) if context.collecting else []
    )
    if start:
        commands.append(start)
    return tuple(commands) or (_yes_or_no(context, text, normalized),)


def slot_commands(
    context: MessageContext, text: str, normalized: str, now: datetime, *, free_text: bool
) -> list[Command]:
    """The commands for the slots that a message fills or corrects.

    Args:
        context: The context of the message.
        text: The message as written.
        normalized: The normalized message.
        now: The person's time, which decides what "tomorrow" means.
        free_text: Whether the whole message may be the answer to an open question.
    """
    flow, asked = context.flow, context.asked
    # In "change the time to 8" the number is a value of that slot.
    changed = _slot_to_change(context, normalized)
    targets = targets_for(flow, changed if changed and flow.askable[changed].type != "string" else asked)
    # A date or number in free text is part of the text, unless the text is a correction.
    is_free_text = targets.asked_type == "string" and free_text
    has_values = not is_free_text or flow.locale.is_correction(normalized)
    values = ExtractedValues()
    if has_values:
        values = extract_slots(flow, targets, context.known, raw=text, normalized=normalized, now=now)
    commands = [*_value_commands(context, targets, values, normalized)]
    if has_values and flow.composite_slots and (change := changed_items(context, normalized, now)):
        commands = [change, *[each for each in commands if not is_within(each.target, change.target)]]
    elif has_values and targets.composites and (made := several_items(context, targets, text, now)):
        item = f"{made.target}.{NEXT}"
        commands = [made, *[each for each in commands if not is_within(each.target, item)]]
    if not commands and has_values:
        edits = (
            unprompted_edits(context, text, normalized, now)
            if flow.composite_slots and not is_free_text
            else ()
        )
        commands = [*edits] or [*_change_command(context, changed, text)]
    said = normalized
    if targets.asked_type == "boolean" and _has_values(context, values, normalized):
        said = mark_values(flow, targets, values, known=context.known, normalized=normalized, now=now)
    if not commands and _has_unread_number(context, values, said):
        return commands
    if free_text and not commands:
        commands += _answer(context, text, said)
    elif targets.asked_type == "boolean" and _only_fills(commands) and _yes_no(context, text, said):
        commands.append(Command("set_slot", asked, True))
    return commands


def _has_values(context: MessageContext, values: ExtractedValues, normalized: str) -> bool:
    """Whether the message names values, and does not leave open which."""
    if values.alternatives:
        return False
    return bool(values.by_slot) or any(map(str.isdigit, context.flow.locale.normalize_numerals(normalized)))


def _has_unread_number(context: MessageContext, values: ExtractedValues, said: str) -> bool:
    """Whether a yes or no comes with a number that fits no slot: "yes 5"."""
    flow, asked = context.flow, context.asked
    if values.by_slot or not asked or flow.askable[asked].type != "boolean" or "%" in said:
        return False
    has_number = any(map(str.isdigit, flow.locale.normalize_numerals(said)))
    return has_number and flow.locale.only_yes_no(said) is None


def _only_fills(commands: Iterable[Command]) -> bool:
    """Whether slots are only filled: "yes, under the name of Ada" is still a yes, a correction is not."""
    return all(command.name == "set_slot" for command in commands)


def set_phrase_command(context: MessageContext, normalized: str) -> Command | None:
    """The command of a normalized message that consists of a set phrase; None for any other message."""
    flow, asked = context.flow, context.asked
    phrase = flow.locale.set_phrase(normalized)
    if phrase is None or (not context.collecting and phrase.name in ("chitchat", "help")):
        return None
    if phrase.name == "cancel_flow" and any(
        mentioned_items(context, slot, normalized) or names_item(context, slot, normalized)
        for slot in flow.composite_slots
    ):
        return None  # "cancel the olives"
    if phrase.name == "cancel_flow" and asked and answer_to_more(context, normalized):
        return None  # 不要了, in reply to "anything else?"
    kind = targets_for(flow, asked).asked_type
    if kind == "enum" and flow.vocabulary.slots[asked].find_values(normalized):
        return None
    if kind == "boolean" and phrase.name == "chitchat" and flow.locale.yes_no(normalized) is not None:
        return None
    return Command(phrase.name, value=phrase.kind or None)


def _start_flow(context: MessageContext, normalized: str) -> Command | None:
    """The command to start the flow with the longest trigger in the message; None if there is no trigger."""
    best, name = 0, ""
    for other in context.startable_flows:
        length = other.vocabulary.trigger_length(normalized)
        if length > best:
            best, name = length, other.name
    if not name:
        return None
    # In the answer to an open question a trigger is probably only mentioned.
    mentioned = targets_for(context.flow, context.asked).asked_type == "string" and 2 * best < len(normalized)
    if mentioned and not context.flow.locale.is_question(normalized):
        return None
    return Command("start_flow", name)


def _value_commands(
    context: MessageContext, targets: ExtractionTargets, values: ExtractedValues, normalized: str
) -> Iterator[Command]:
    flow, known = context.flow, context.known
    new: dict[str, object] = {}
    for name, value in values.by_slot.items():
        if isinstance(value, list):
            yield from update_list(context, flow.askable[name], value, normalized)
        elif (name not in known or known[name] != value) and not _is_incomplete(context, name, values):
            new[name] = value
    for name, (first, second) in values.alternatives.items():
        yield Command("clarify", name, [first, second])
        # If it is open which item is meant, it is also open which item the other parts belong to.
        item = name.rpartition(".")[0] if f".{NEXT}." in name else ""
        new = {path: value for path, value in new.items() if not (item and is_within(path, item))}
    for name, value in (_group_parts(new, targets.composites) if targets.composites else new).items():
        yield _slot_command(context, name, value, normalized)


def _slot_command(context: MessageContext, name: str, value: object, normalized: str) -> Command:
    known = context.known
    parts = value if isinstance(value, dict) else {}
    root, _, path = name.partition(".")
    if path.partition(".")[0] == NEXT and context.flow.locale.list_grammar.is_removal(normalized):
        named = parts or {path.partition(".")[2]: value}
        return next(remove_items(context, context.flow.slots[root], named), Command("none"))
    corrects = name in known or any(f"{name}.{each}" in known for each in parts)
    return Command("correct_slot" if corrects else "set_slot", name, value)


def _is_incomplete(context: MessageContext, name: str, values: ExtractedValues) -> bool:
    """Whether a date or time is only half of an optional datetime in a filled slot, so that it is ignored."""
    holder, _, part = name.rpartition(".")
    root, _, inner = holder.partition(".")
    if root not in context.slots or not inner or context.flow.askable[holder].type != "datetime":
        return False
    other = f"{holder}.{'time' if part == 'date' else 'date'}"
    return other not in context.known and other not in values.by_slot


def _group_parts(found: Mapping[str, object], composites: Iterable[Slot]) -> dict[str, object]:
    """The values with several parts of one composite grouped, since the last part completes a list item."""
    grouped = dict(found)
    for composite in composites:
        paths = [each for each in found if each.startswith(f"{composite.name}.")]
        if len(paths) > 1:
            whole: dict[str, Any] = {}
            for path in paths:
                *holders, last = path.removeprefix(f"{composite.name}.").split(".")
                within = whole
                for holder in holders:
                    within = within.setdefault(holder, {})
                within[last] = grouped.pop(path)
            grouped[composite.name] = whole
    return grouped


def _change_command(context: MessageContext, name: str, text: str) -> Iterator[Command]:
    """A correction that names the slot ("change the date"), for a string also the value ("… to Paris")."""
    if name:
        is_string = context.flow.askable[name].type == "string"
        value = context.flow.locale.new_value(text) if is_string else ""
        yield Command("correct_slot", name, value or None)


def _slot_to_change(context: MessageContext, normalized: str) -> str:
    """The slot that a message wants to change; empty if none."""
    phrase = context.flow.locale.slot_to_change(normalized)
    known = dict.fromkeys((*context.known, *map(root_slot, context.known_parts))) if phrase else {}
    for name in known:
        is_named = context.flow.vocabulary.slots[name].name_pattern.search(phrase)
        if is_named and not context.flow.askable[name].asked_only:
            return name
    return ""


def _answer(context: MessageContext, text: str, normalized: str) -> Iterator[Command]:
    """The message as an answer that only the open question makes one: a yes or no, or free text."""
    if not context.asked or not normalized:
        return
    if answer := answer_to_more(context, normalized):
        yield answer
        return
    slot = context.flow.askable[context.asked]
    language = context.flow.locale
    kind = (slot.item or slot).type
    yes = language.only_yes_no(normalized) if slot.item else _yes_no(context, text, normalized)
    if kind == "boolean" and yes is not None:
        yield Command("set_slot", slot.name, yes)
    elif kind == "string" and (yes is None or count_words(normalized) > _MAX_YES_NO_WORDS):
        yield from _free_text(context, slot, text, normalized)


def _free_text(context: MessageContext, slot: Slot, text: str, normalized: str) -> Iterator[Command]:
    """An answer in the person's own words."""
    if slot.item:
        if named := named_items(context, slot, text, normalized):
            yield from update_list(context, slot, named, normalized)
    else:
        answer = context.flow.locale.bare_name(text) if slot.is_person_name else ""
        yield Command("set_slot", slot.name, answer or text.strip())


def _yes_or_no(context: MessageContext, text: str, normalized: str) -> Command:
    yes = _yes_no(context, text, normalized)
    if yes is None:
        return Command("none")
    return Command("affirm" if yes else "deny")


def _yes_no(context: MessageContext, text: str, normalized: str) -> bool | None:
    """Whether the message says yes or no; of one that is too long to be read whole, no yes is believed."""
    yes = context.flow.locale.yes_no(normalized)
    return None if yes and len(text) > MAX_READ_CHARS else yes
