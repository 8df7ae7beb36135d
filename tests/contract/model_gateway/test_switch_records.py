"""Both records keep the promise, and what only the file's has."""

from __future__ import annotations

import multiprocessing

import pytest
from clawdbot_model_gateway.core.alias_overrides import RecordUnavailable
from clawdbot_model_gateway.stores.file.alias_overrides import REMEMBERED, FileSwitches
from clawdbot_model_gateway.stores.in_memory.alias_overrides import InMemorySwitches
from clawdbot_servicekit.errors import StartupError

from tests.contract.model_gateway.switch_record_contract import A, B, C, SwitchRecordContract, change


class TestInMemorySwitches(SwitchRecordContract):
    @pytest.fixture
    def record(self):
        return InMemorySwitches()

    @pytest.fixture
    def other(self, record):
        return record


class TestFileSwitches(SwitchRecordContract):
    @pytest.fixture
    def open_record(self, tmp_path):
        opened = []

        def make():
            record = FileSwitches(tmp_path / "gateway")
            record.open()
            opened.append(record)
            return record

        yield make
        for each in opened:
            each.close()

    @pytest.fixture
    def record(self, open_record):
        return open_record()

    @pytest.fixture
    def other(self, open_record, record):
        return open_record()

    def test_a_switch_outlives_the_process(self, record, open_record):
        record.change(change(B))
        record.close()
        assert open_record().read()["chat"].targets == (B,)

    def test_changes_of_many_processes_are_made_one_after_the_other(self, record, tmp_path):
        context = multiprocessing.get_context("spawn")
        workers = [
            context.Process(target=many_changes, args=(tmp_path / "gateway", name, 50)) for name in ("x", "y")
        ]
        for each in workers:
            each.start()
        for each in workers:
            each.join()
        assert [each.exitcode for each in workers] == [0, 0]
        assert record.version == 100
        assert {f"{name}{number}" for name in "xy" for number in range(50)} == set(record.read())

    def test_only_so_many_ids_are_remembered(self, record):
        for number in range(REMEMBERED + 1):
            record.change(change(B if number % 2 else C, request_id=f"r-{number}"))
        assert record.change(change(A, request_id=f"r-{REMEMBERED}")) != (A,)
        assert record.change(change(B, request_id="r-0")) == (C,)
        assert record.change(change(B, request_id="r-0")) == (C,)

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"switches": {"chat": 1}, "changes": {}}', "null"])
    def test_a_file_that_somebody_has_spoilt_counts_as_empty(self, record, tmp_path, text):
        record.change(change(B))
        (tmp_path / "gateway" / "switches.json").write_text(text)
        assert record.read() == {}
        assert record.change(change(C)) == (A,)
        assert record.read()["chat"].targets == (C,)

    def test_a_change_that_cannot_be_written_is_none(self, record, tmp_path):
        record.change(change(B))
        (tmp_path / "gateway" / "switches.new").mkdir()
        version = record.version
        with pytest.raises(RecordUnavailable):
            record.change(change(C))
        assert (record.version, record.read()["chat"].targets) == (version, (B,))

    def test_a_folder_that_cannot_be_used_stops_the_start_with_a_sentence(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StartupError, match="Make it writable"):
            FileSwitches(tmp_path / "file" / "gateway").open()

    def test_closing_is_safe_at_any_time(self, tmp_path):
        record = FileSwitches(tmp_path)
        record.close()
        record.open()
        record.close()
        record.close()
        with pytest.raises(RecordUnavailable):
            record.change(change(B))


def many_changes(folder, name, count):
    """In a process of its own."""
    record = FileSwitches(folder)
    record.open()
    for number in range(count):
        record.change(change(B, alias=f"{name}{number}"))
    record.close()
