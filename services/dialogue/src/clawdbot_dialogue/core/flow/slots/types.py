"""All types of slot."""

from __future__ import annotations

from collections.abc import Mapping

from clawdbot_dialogue.core.flow.cel.types import CelType
from clawdbot_dialogue.core.flow.parse.source_model import SlotSource
from clawdbot_dialogue.core.flow.slots import composites, contacts, datetimes, money, scalars
from clawdbot_dialogue.core.flow.slots.slot import SlotType

SLOT_TYPES: Mapping[str, SlotType] = {
    each.name: each
    for each in (*scalars.TYPES, *datetimes.TYPES, *money.TYPES, *contacts.TYPES, *composites.TYPES)
}
"""By name."""


def cel_type(source: SlotSource) -> CelType:
    """The type of a declared slot in expressions and texts."""
    kind = SLOT_TYPES[source.type].cel
    return kind(source, cel_type) if callable(kind) else kind
