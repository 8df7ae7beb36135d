"""Each ledger keeps the contract."""

from __future__ import annotations

import pytest
from clawdbot_plugins.core.idempotency_store import LedgerUnavailable
from clawdbot_plugins.stores.in_memory.idempotency_store import InMemoryLedger
from clawdbot_plugins.stores.sqlite.idempotency_store import SqliteLedger
from clawdbot_servicekit.errors import StartupError

from tests.contract.plugins.ledger_contract import CALL, DONE, SAME, LedgerContract, SharedLedgerContract
from tests.support.plugin_core import Clock


@pytest.fixture
def clock():
    return Clock()


class TestInMemoryLedger(LedgerContract):
    @pytest.fixture
    async def ledger(self, clock):
        ledger = InMemoryLedger(remember=100, capacity=5, clock=clock)
        await ledger.open()
        return ledger


class TestSqliteLedger(SharedLedgerContract):
    @pytest.fixture
    def make(self, tmp_path, clock):
        return lambda: SqliteLedger(tmp_path / "ledger", remember=100, capacity=5, clock=clock)

    @pytest.fixture
    async def ledger(self, make):
        ledger = make()
        await ledger.open()
        yield ledger
        await ledger.close()

    @pytest.fixture
    async def other(self, make, ledger):
        other = make()
        await other.open()
        yield other
        await other.close()

    async def test_an_outcome_outlives_the_process(self, ledger, make):
        await ledger.claim(CALL, SAME, again=False)
        await ledger.settle(CALL, DONE)
        await ledger.close()
        later = make()
        await later.open()
        assert (await later.claim(CALL, SAME, again=False)).text == DONE.text
        await later.close()

    async def test_before_it_is_open_it_is_unavailable(self, make):
        with pytest.raises(LedgerUnavailable):
            await make().claim(CALL, SAME, again=False)

    async def test_a_ledger_that_was_never_opened_can_be_closed(self, make):
        await make().close()

    async def test_a_folder_that_cannot_be_made_says_what_to_do(self, tmp_path, clock):
        (tmp_path / "file").write_text("in the way")
        ledger = SqliteLedger(tmp_path / "file" / "ledger", remember=1, capacity=1, clock=clock)
        with pytest.raises(StartupError, match="set state_dir to another one"):
            await ledger.open()
        await ledger.close()

    async def test_a_file_that_is_no_database_says_what_to_do(self, tmp_path, make):
        (tmp_path / "ledger").mkdir()
        (tmp_path / "ledger" / "calls.sqlite").write_text(
            "not a database, though long enough to be read as one"
        )
        ledger = make()
        with pytest.raises(StartupError, match=r"calls\.sqlite"):
            await ledger.open()
        await ledger.close()
