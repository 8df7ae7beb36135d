"""Every type of slot."""

from __future__ import annotations

from collections.abc import Mapping

from clawdbot_dialogue.core.flow.slots import addresses, moments, money, plain
from clawdbot_dialogue.core.flow.slots.slot import SlotType

SLOT_TYPES: Mapping[str, SlotType] = {
    each.name: each for each in (*plain.TYPES, *moments.TYPES, *money.TYPES, *addresses.TYPES)
}
"""By name."""
