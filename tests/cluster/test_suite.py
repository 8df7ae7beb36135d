"""All three services in one pod: the smallest start."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.support.cluster import Pods, deployed, forwarded, kubectl, said, send, unconfirmed_booking

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

SUITE = Pods("suite")


@pytest_asyncio.fixture(loop_scope="module", scope="module", autouse=True)
async def suite(tmp_path_factory):
    async with deployed("suite", tmp_path_factory.mktemp("volumes")):
        await SUITE.rolled_out()
        yield


async def test_a_conversation_outlives_its_pod():
    async with forwarded("suite", 8080) as address:
        session = await unconfirmed_booking(address)
    (victim,) = await SUITE.names()
    await kubectl("delete", "pod", victim, "--grace-period=0", "--force")
    await SUITE.rolled_out()
    async with forwarded("suite", 8080) as address:
        assert said(await send(address, session, "yes")).startswith("Booked. Reference ")
