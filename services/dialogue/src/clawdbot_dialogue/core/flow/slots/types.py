"""Every type of slot."""

from __future__ import annotations

from collections.abc import Mapping

from clawdbot_dialogue.core.flow.cel_types import CelType
from clawdbot_dialogue.core.flow.slots import addresses, composed, moments, money, plain
from clawdbot_dialogue.core.flow.slots.slot import SlotType
from clawdbot_dialogue.core.flow.source import SlotSource

SLOT_TYPES: Mapping[str, SlotType] = {
    each.name: each
    for each in (*plain.TYPES, *moments.TYPES, *money.TYPES, *addresses.TYPES, *composed.TYPES)
}
"""By name."""


def seen(source: SlotSource) -> CelType:
    """How expressions and texts see a slot that is declared so."""
    kind = SLOT_TYPES[source.type].cel
    return kind(source, seen) if callable(kind) else kind
