"""Edits of lists: a message names items, adds some, removes some, or says that the list is complete.

`item_edits` handles items that have parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from clawdbot_dialogue.core.flow.slots.partial_values import NEXT
from clawdbot_dialogue.core.flow.slots.slot import Slot, root_slot
from clawdbot_dialogue.core.language.normalization import count_words, normalize
from clawdbot_dialogue.core.language.vocabulary import phrase_pattern
from clawdbot_dialogue.core.understanding.commands import Command
from clawdbot_dialogue.core.understanding.context import MessageContext
from clawdbot_dialogue.core.understanding.extraction_targets import is_within
from clawdbot_dialogue.core.understanding.item_edits import current_items, edit_item, list_update

_MAX_ITEM_WORDS = 4
"""Words of an item that was not asked for: "also Dave"."""


def update_list(
    context: MessageContext, slot: Slot, named: Sequence[object], normalized: str
) -> Iterator[Command]:
    """The command that updates a list with the items that a message names.

    Args:
        context: The context of the message.
        slot: The list.
        named: The items, at least one.
        normalized: The normalized message.
    """
    language, before = context.flow.locale, current_items(context, slot)
    adds, removes = (
        language.list_grammar.is_addition(normalized),
        language.list_grammar.is_removal(normalized),
    )
    if slot.name in context.slots and not (adds or removes or _is_topic(context, slot, normalized)):
        return  # an item that is mentioned while the topic is something else is not meant for the list
    if removes:
        after = [each for each in before if not _is_among(each, named)]
    elif language.is_correction(normalized) and not adds:
        after = [*named]
    else:
        after = [*before, *[each for each in named if slot.allows_duplicates or not _is_among(each, before)]]
    yield from list_update(slot, before, after)


def _is_among(item: object, others: Sequence[object]) -> bool:
    """Whether an item is among others, regardless of spelling variants."""
    return any(
        item == each or (isinstance(item, str) and normalize(item) == normalize(str(each))) for each in others
    )


def _is_topic(context: MessageContext, slot: Slot, normalized: str) -> bool:
    return is_within(context.asked, slot.name) or bool(
        context.flow.vocabulary.slots[slot.name].name_pattern.search(normalized)
    )


def named_items(context: MessageContext, slot: Slot, text: str, normalized: str) -> list[object]:
    """The items of a list of strings that a message names; only existing items if it removes some."""
    language = context.flow.locale
    if language.list_grammar.is_removal(normalized):
        return mentioned_items(context, slot, normalized)
    named = [
        language.bare_name(each) if slot.is_person_name else each
        for each in language.list_grammar.split_items(text)
    ]
    return [each for each in named if each]


def mentioned_items(context: MessageContext, slot: Slot, normalized: str) -> list[object]:
    """The existing items of a list of strings or enum values that a normalized message names."""
    items = current_items(context, slot)
    if slot.item is None or slot.item.type not in ("string", "enum"):
        return []
    if slot.item.type == "enum":
        named = [each.value for each in context.flow.vocabulary.slots[slot.name].find_values(normalized)]
        return [each for each in items if each in named]
    pattern = phrase_pattern(map(str, items))
    found = {each[0] for each in pattern.finditer(normalized)} if pattern else set[str]()
    return [each for each in items if normalize(str(each)) in found]


def unprompted_edits(context: MessageContext, text: str, normalized: str, now: datetime) -> Iterator[Command]:
    """Additions to lists and removals from them that were not asked for."""
    language = context.flow.locale
    adds, removes = (
        language.list_grammar.is_addition(normalized),
        language.list_grammar.is_removal(normalized),
    )
    lists = [slot for slot in context.flow.composite_slots if slot.item] if adds or removes else []
    texts = [
        slot for slot in lists if slot.item and slot.item.type == "string" and slot.name in context.known
    ]
    for slot in lists:
        if slot.item and slot.item.parts and slot.name in context.slots:
            yield from edit_item(context, slot, text, now, removes=removes)
    for slot in texts if removes or len(texts) == 1 else ():
        named = named_items(context, slot, text, normalized)
        if named and (removes or all(count_words(normalize(str(each))) <= _MAX_ITEM_WORDS for each in named)):
            yield from update_list(context, slot, named, normalized)


def answer_to_more(context: MessageContext, normalized: str) -> Command | None:
    """The answer to "anything else?": affirm, or deny if the list is complete; None for other messages."""
    slot = context.flow.slots[root_slot(context.asked)]
    if slot.item is None or any(path.startswith(f"{slot.name}.{NEXT}.") for path in context.known_parts):
        return None
    language = context.flow.locale
    says = False if language.list_grammar.is_complete(normalized) else language.only_yes_no(normalized)
    if says is False and context.flow.askable[context.asked].type != "boolean":
        return Command("deny", slot.name)
    return Command("affirm", slot.name) if says and context.asked == slot.name else None
