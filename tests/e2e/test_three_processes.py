"""The conversation contract with three processes, over TCP."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.e2e.conversation_contract import Conversations
from tests.support.engines import ENGINES, VARIABLE
from tests.support.topologies import three_processes

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ENGINES)
async def topology(tmp_path_factory, request):
    environment = {VARIABLE: request.param}
    async with three_processes(tmp_path_factory.mktemp("state"), environment) as running:
        yield running


class TestThreeProcesses(Conversations):
    pass
