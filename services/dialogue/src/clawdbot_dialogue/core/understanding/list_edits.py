"""What a message does to a list: it names items, adds some, takes some off, or says that these are all.

What is particular to items with parts is in `items`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from clawdbot_dialogue.core.flow.slots.partial_values import NEXT
from clawdbot_dialogue.core.flow.slots.slot import Slot, root_of
from clawdbot_dialogue.core.language.normalization import fold, words
from clawdbot_dialogue.core.language.vocabulary import any_of
from clawdbot_dialogue.core.understanding.commands import Command
from clawdbot_dialogue.core.understanding.context import Situation
from clawdbot_dialogue.core.understanding.extraction_targets import within
from clawdbot_dialogue.core.understanding.item_edits import becomes, held, item_edited

_LONGEST_ITEM = 4
"""Words of an item that nobody asked for: "also Dave"."""


def listed(situation: Situation, slot: Slot, named: Sequence[object], folded: str) -> Iterator[Command]:
    """The list with the items that a message names.

    Args:
        situation: Where the message falls.
        slot: The list.
        named: The items, at least one.
        folded: The message folded.
    """
    language, before = situation.flow.locale, held(situation, slot)
    adds, drops = language.lists.adds(folded), language.lists.drops(folded)
    if slot.name in situation.slots and not (adds or drops or _speaks_of(situation, slot, folded)):
        return  # who names an item while something else is talked of means something else
    if drops:
        after = [each for each in before if not _is_among(each, named)]
    elif language.corrects(folded) and not adds:
        after = [*named]
    else:
        after = [*before, *[each for each in named if slot.repeats or not _is_among(each, before)]]
    yield from becomes(slot, before, after)


def _is_among(item: object, others: Sequence[object]) -> bool:
    """Whether an item is one of some others, however it is written."""
    return any(item == each or (isinstance(item, str) and fold(item) == fold(str(each))) for each in others)


def _speaks_of(situation: Situation, slot: Slot, folded: str) -> bool:
    return within(situation.asked, slot.name) or bool(
        situation.flow.vocabulary.slots[slot.name].name.search(folded)
    )


def named_in(situation: Situation, slot: Slot, text: str, folded: str) -> list[object]:
    """The items of a list of texts that a message names: those that are there, where it takes some off."""
    language = situation.flow.locale
    if language.lists.drops(folded):
        return held_in(situation, slot, folded)
    named = [language.bare_name(each) if slot.names_person else each for each in language.lists.items(text)]
    return [each for each in named if each]


def held_in(situation: Situation, slot: Slot, folded: str) -> list[object]:
    """The items of a list of texts or choices that a folded message names and that are there."""
    items = held(situation, slot)
    if slot.item is None or slot.item.type not in ("string", "enum"):
        return []
    if slot.item.type == "enum":
        named = [each.value for each in situation.flow.vocabulary.slots[slot.name].values_in(folded)]
        return [each for each in items if each in named]
    said = any_of(map(str, items))
    found = {each[0] for each in said.finditer(folded)} if said else set[str]()
    return [each for each in items if fold(str(each)) in found]


def edited(situation: Situation, text: str, folded: str, now: datetime) -> Iterator[Command]:
    """What a message that nobody asked for adds to a list, or takes off one."""
    language = situation.flow.locale
    adds, drops = language.lists.adds(folded), language.lists.drops(folded)
    lists = [slot for slot in situation.flow.composed if slot.item] if adds or drops else []
    texts = [
        slot for slot in lists if slot.item and slot.item.type == "string" and slot.name in situation.known
    ]
    for slot in lists:
        if slot.item and slot.item.parts and slot.name in situation.slots:
            yield from item_edited(situation, slot, text, now, drops=drops)
    for slot in texts if drops or len(texts) == 1 else ():
        named = named_in(situation, slot, text, folded)
        if named and (drops or all(words(fold(str(each))) <= _LONGEST_ITEM for each in named)):
            yield from listed(situation, slot, named, folded)


def no_more(situation: Situation, folded: str) -> Command | None:
    """The answer to whether there are more items, which is the one that is not for a value; None for none."""
    slot = situation.flow.slots[root_of(situation.asked)]
    if slot.item is None or any(path.startswith(f"{slot.name}.{NEXT}.") for path in situation.parts):
        return None
    language = situation.flow.locale
    says = False if language.lists.enough(folded) else language.only_yes_no(folded)
    if says is False and situation.flow.askable[situation.asked].type != "boolean":
        return Command("deny", slot.name)
    return Command("affirm", slot.name) if says and situation.asked == slot.name else None
