"""Both stores keep the contract; the file store also has facts of its own."""

from __future__ import annotations

import multiprocessing

import pytest
from clawdbot_model_gateway.core.routing.alias_overrides import OverrideStoreUnavailable
from clawdbot_model_gateway.stores.file.alias_overrides import (
    MAX_REMEMBERED_CHANGES,
    FileAliasOverrideStore,
)
from clawdbot_model_gateway.stores.in_memory.alias_overrides import InMemoryAliasOverrideStore
from clawdbot_servicekit.errors import StartupError

from tests.contract.model_gateway.alias_override_store_contract import (
    A,
    AliasOverrideStoreContract,
    B,
    C,
    change,
)


class TestInMemoryAliasOverrideStore(AliasOverrideStoreContract):
    @pytest.fixture
    def store(self):
        return InMemoryAliasOverrideStore()

    @pytest.fixture
    def other(self, store):
        return store


class TestFileAliasOverrideStore(AliasOverrideStoreContract):
    @pytest.fixture
    def open_store(self, tmp_path):
        opened = []

        def make():
            store = FileAliasOverrideStore(tmp_path / "gateway")
            store.open()
            opened.append(store)
            return store

        yield make
        for each in opened:
            each.close()

    @pytest.fixture
    def store(self, open_store):
        return open_store()

    @pytest.fixture
    def other(self, open_store, store):
        return open_store()

    def test_an_override_outlives_the_process(self, store, open_store):
        store.apply(change(B))
        store.close()
        assert open_store().load()["chat"].targets == (B,)

    def test_changes_of_several_processes_are_serialized(self, store, tmp_path):
        context = multiprocessing.get_context("spawn")
        workers = [
            context.Process(target=many_changes, args=(tmp_path / "gateway", name, 50)) for name in ("x", "y")
        ]
        for each in workers:
            each.start()
        for each in workers:
            each.join()
        assert [each.exitcode for each in workers] == [0, 0]
        assert store.version == 100
        assert {f"{name}{number}" for name in "xy" for number in range(50)} == set(store.load())

    def test_the_number_of_remembered_ids_is_limited(self, store):
        for number in range(MAX_REMEMBERED_CHANGES + 1):
            store.apply(change(B if number % 2 else C, request_id=f"r-{number}"))
        assert store.apply(change(A, request_id=f"r-{MAX_REMEMBERED_CHANGES}")) != (A,)
        assert store.apply(change(B, request_id="r-0")) == (C,)
        assert store.apply(change(B, request_id="r-0")) == (C,)

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"switches": {"chat": 1}, "changes": {}}', "null"])
    def test_a_corrupt_file_counts_as_empty(self, store, tmp_path, text):
        store.apply(change(B))
        (tmp_path / "gateway" / "switches.json").write_text(text)
        assert store.load() == {}
        assert store.apply(change(C)) == (A,)
        assert store.load()["chat"].targets == (C,)

    def test_half_a_change_that_a_power_failure_left_does_not_hide_the_one_before(self, store, tmp_path):
        for each in (A, B, C):
            store.apply(change(each))
        (tmp_path / "gateway" / "switches.json").write_text("{")
        assert store.load()["chat"].targets == (B,)
        assert store.apply(change(A)) == (B,)
        assert store.load()["chat"].targets == (A,)

    @pytest.mark.parametrize("changes", [1, 2, 3])
    def test_a_folder_that_was_put_back_without_its_counter_has_the_last_change(
        self, store, open_store, tmp_path, changes
    ):
        for each in (A, B, C)[:changes]:
            store.apply(change(each))
        store.close()
        (tmp_path / "gateway" / "switches.count").unlink()
        again = open_store()
        assert again.load()["chat"].targets == ((A, B, C)[changes - 1],)
        again.apply(change(A))
        again.apply(change(B))
        assert again.load()["chat"].targets == (B,)

    @pytest.mark.parametrize("changes", [2, 3])
    def test_the_first_change_without_the_counter_is_not_written_over_the_last_one(
        self, store, open_store, tmp_path, changes
    ):
        for each in (A, B, C)[:changes]:
            store.apply(change(each))
        store.close()
        folder = tmp_path / "gateway"
        (folder / "switches.count").unlink()
        before = {each: each.read_bytes() for each in folder.glob("switches.*")}
        again = open_store()
        again.apply(change(A))
        (written,) = [each for each, content in before.items() if each.read_bytes() != content]
        written.write_text("{")
        assert again.load()["chat"].targets == ((A, B, C)[changes - 1],)

    def test_a_shorter_change_leaves_nothing_of_a_longer_one(self, store):
        for targets in ([A, B, C] * 100, [A, B, C] * 100, [B], [C]):
            store.apply(change(*targets))
            assert store.load() == {"chat": change(*targets).override}

    def test_a_change_that_cannot_be_written_has_no_effect(self, store, tmp_path):
        store.apply(change(B))
        (tmp_path / "gateway" / "switches.new").mkdir()
        version = store.version
        with pytest.raises(OverrideStoreUnavailable):
            store.apply(change(C))
        assert (store.version, store.load()["chat"].targets) == (version, (B,))

    def test_an_unusable_folder_stops_the_start_with_a_clear_message(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StartupError, match="Make it writable"):
            FileAliasOverrideStore(tmp_path / "file" / "gateway").open()

    def test_closing_is_safe_at_any_time(self, tmp_path):
        store = FileAliasOverrideStore(tmp_path)
        store.close()
        store.open()
        store.close()
        store.close()
        with pytest.raises(OverrideStoreUnavailable):
            store.apply(change(B))


def many_changes(folder, name, count):
    """Runs in a process of its own."""
    store = FileAliasOverrideStore(folder)
    store.open()
    for number in range(count):
        store.apply(change(B, alias=f"{name}{number}"))
    store.close()
