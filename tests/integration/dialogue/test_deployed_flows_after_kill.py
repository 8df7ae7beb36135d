"""Real processes: a deployed flow survives a kill, and every worker has it once it is deployed."""

from __future__ import annotations

import pytest
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1 import flow_service_pb2
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceStub
from clawdbot.dialogue.v1.flow_service_pb2_grpc import FlowServiceStub

from tests.integration.dialogue.test_deploy_flow import source
from tests.integration.dialogue.test_killed_processes import TIMEOUT, Service, send
from tests.support.dialogue_service import scripted_peers

pytestmark = pytest.mark.integration


@pytest.fixture
async def service(tmp_path):
    async with scripted_peers() as (peers, address):
        yield Service(tmp_path, peers, address)


async def deploy(channel, version):
    request = flow_service_pb2.DeployFlowRequest(source=source(version, f"v{version}."))
    await FlowServiceStub(channel).DeployFlow(request, timeout=TIMEOUT, wait_for_ready=True)


async def create_session(channel):
    request = pb.CreateSessionRequest(flow="greet")
    return (
        await DialogueServiceStub(channel).CreateSession(request, timeout=TIMEOUT, wait_for_ready=True)
    ).session


async def test_a_deployed_flow_survives_a_kill(service):
    async with service.run() as running:
        async with service.connect() as channel:
            await deploy(channel, 1)
            session = await create_session(channel)
        await running.kill()
    async with service.run(), service.connect() as channel:
        assert (await create_session(channel)).flow_version == 1
        assert "v1. bye." in str((await send(channel, session, "Ann")).turn.replies)


async def test_every_worker_has_a_flow_once_it_is_deployed(service):
    async with service.run(workers=4):
        for version in range(1, 4):
            async with service.connect() as channel:
                await deploy(channel, version)
            for _ in range(8):
                async with service.connect() as channel:
                    session = await create_session(channel)
                async with service.connect() as channel:
                    text = str((await send(channel, session, "Ann")).turn.replies)
                assert session.flow_version == version
                assert f"v{version}. bye." in text
