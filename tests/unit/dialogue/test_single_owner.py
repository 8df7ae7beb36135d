"""A store in memory has one lease owner: this process."""

from __future__ import annotations

from clawdbot_dialogue.stores.in_memory.owner import SingleOwner


def test_a_store_in_memory_has_one_owner():
    owner = SingleOwner()
    owner.open()
    assert not owner.gone(owner.me)
    assert owner.gone("anybody")
    owner.close()
