"""Sessions in memory belong to the one engine that there is."""

from __future__ import annotations

from clawdbot_dialogue.stores.in_memory.owner import SingleOwner


def test_a_store_in_memory_has_one_owner():
    sole = SingleOwner()
    sole.open()
    assert not sole.gone(sole.me)
    assert sole.gone("anybody")
    sole.close()
