"""The same conversations in one process and in three."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.e2e.conversation_contract import Conversations
from tests.support.topologies import one_process, three_processes

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="class")]


class TestOneProcess(Conversations):
    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    async def topology(self, tmp_path_factory):
        async with one_process(tmp_path_factory.mktemp("one")) as running:
            yield running


class TestThreeProcesses(Conversations):
    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    async def topology(self, tmp_path_factory):
        async with three_processes(tmp_path_factory.mktemp("three")) as running:
            yield running
