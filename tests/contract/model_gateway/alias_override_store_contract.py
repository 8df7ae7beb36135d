"""The contract of AliasOverrideStore. The test class of each implementation inherits it."""

from __future__ import annotations

from clawdbot_model_gateway.core.routing.alias_overrides import AliasChange, AliasOverride, TargetSpec

A, B, C = (TargetSpec(f"{name}/m") for name in "abc")


def change(*targets: TargetSpec, alias: str = "chat", configured=(A,), request_id: str = "") -> AliasChange:
    return AliasChange(alias, AliasOverride(targets, tuple(configured)), request_id)


class AliasOverrideStoreContract:
    """The fixture `store` is new; `other` is the same store as another worker sees it."""

    def test_a_new_store_is_empty(self, store):
        assert store.load() == {}

    def test_a_change_is_loaded_completely(self, store):
        targets = (TargetSpec("a/x/y", 9), TargetSpec("b/ü", fallback=True))
        store.apply(change(*targets))
        assert store.load() == {"chat": AliasOverride(targets, (A,))}

    def test_the_version_differs_after_each_change(self, store, other):
        versions = {store.version}
        for each in (store, other, store):
            each.apply(change(B))
            assert store.version == other.version
            versions.add(store.version)
        assert len(versions) == 4

    def test_all_workers_see_a_change(self, store, other):
        store.apply(change(B))
        assert other.load()["chat"].targets == (B,)
        assert other.apply(change(C)) == (B,)
        assert store.load()["chat"].targets == (C,)

    def test_the_first_change_returns_the_configured_targets(self, store):
        assert store.apply(change(B)) == (A,)
        assert store.apply(change(B, alias="new", configured=())) == ()

    def test_an_override_of_an_older_configuration_is_not_the_previous_value(self, store):
        store.apply(change(B))
        assert store.apply(change(C, configured=(C,))) == (C,)

    def test_a_repeated_change_returns_the_same_and_changes_nothing(self, store, other):
        assert store.apply(change(B, request_id="r-1")) == (A,)
        store.apply(change(C, request_id="r-2"))
        version = store.version
        assert other.apply(change(B, request_id="r-1")) == (A,)
        assert other.version == version
        assert store.load()["chat"].targets == (C,)

    def test_each_change_without_an_id_is_a_new_change(self, store):
        store.apply(change(B))
        assert store.apply(change(C)) == (B,)
