"""The contract of DrainStore. The test class of each implementation inherits it."""

from __future__ import annotations


class DrainStoreContract:
    """The fixture `store` is new; `other` is the same store as another worker sees it."""

    def test_a_new_store_is_empty(self, store):
        assert store.names == set()

    def test_all_workers_see_a_change_at_once(self, store, other):
        store.apply("a", drained=True)
        assert (store.names, other.names) == ({"a"}, {"a"})
        other.apply("b", drained=True)
        other.apply("a", drained=False)
        assert (store.names, other.names) == ({"b"}, {"b"})

    def test_the_version_grows_with_each_change(self, store, other):
        seen = [store.version]
        for drained in (True, False, True):
            other.apply("a", drained=drained)
            seen.append(store.version)
        assert seen == sorted(set(seen))

    def test_a_change_has_no_effect_twice(self, store):
        store.apply("a", drained=True)
        store.apply("a", drained=True)
        store.apply("a", drained=False)
        assert store.names == set()

    def test_a_late_repetition_does_not_undo_a_later_change(self, store, other):
        store.apply("a", drained=True, request_id="r-1")
        store.apply("a", drained=False, request_id="r-2")
        other.apply("a", drained=True, request_id="r-1")
        assert (store.names, other.names) == (set(), set())

    def test_an_unknown_backend_can_be_put_back(self, store):
        store.apply("a", drained=False)
        assert store.names == set()
