"""The file store keeps the contract of DrainStore, and has facts of its own."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.core.drains import DrainNotRecorded
from clawdbot_model_gateway.stores.file.drains import MAX_REMEMBERED_CHANGES, FileDrainStore
from clawdbot_servicekit.errors import StartupError

from tests.contract.model_gateway.drain_store_contract import DrainStoreContract


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "gateway"


@pytest.fixture
def open_store(folder):
    opened = []

    def make():
        store = FileDrainStore(folder)
        store.open()
        opened.append(store)
        return store

    yield make
    for each in opened:
        each.close()


class TestFileDrainStore(DrainStoreContract):
    @pytest.fixture
    def store(self, open_store):
        return open_store()

    @pytest.fixture
    def other(self, open_store, store):
        return open_store()


def test_a_drained_backend_stays_drained_across_restarts(open_store):
    store = open_store()
    store.apply("a", drained=True)
    store.close()
    store.close()
    assert open_store().names == {"a"}


def test_a_damaged_file_counts_as_empty_and_can_be_replaced(open_store, folder):
    open_store().apply("a", drained=True)
    (folder / "drained.json").write_text("{")
    store = open_store()
    assert store.names == set()
    store.apply("b", drained=True)
    assert store.names == {"b"}


def test_a_store_that_cannot_be_written_changes_nothing(open_store, folder):
    store = open_store()
    (folder / "drained.new").mkdir()
    with pytest.raises(DrainNotRecorded):
        store.apply("a", drained=True)
    assert store.names == set()


def test_old_request_ids_are_forgotten(open_store):
    store = open_store()
    for number in range(MAX_REMEMBERED_CHANGES + 1):
        store.apply("a", drained=False, request_id=str(number))
    store.apply("a", drained=True, request_id="0")
    assert store.names == {"a"}


def test_a_folder_that_cannot_be_used_is_an_error_of_one_sentence(tmp_path):
    (tmp_path / "gateway").write_text("")
    with pytest.raises(StartupError, match="set state_dir"):
        FileDrainStore(tmp_path / "gateway").open()
