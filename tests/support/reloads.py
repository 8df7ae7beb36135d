"""A gateway in this event loop whose configuration file changes."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import grpc.aio
import pytest
import yaml
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.settings import load

from tests.support.gateway_service import GatewayAndPlugins, serving
from tests.support.generate_requests import asks

NOTHING_FOUND = {"local_model": False, "ollama": None}
STREAM = {"when": "slow", "text": "one two three four five six seven eight", "pace": "100ms"}


def scripted(text, **more):
    return {"provider": "scripted", "models": ["m"], "replies": [STREAM, {"text": text}], **more}


def models(aliases=None, **backends):
    return {"models": {"backends": backends, "aliases": aliases or {}}}


class ConfigFile:
    def __init__(self, path) -> None:
        self.path = path

    def write(self, sections) -> None:
        self.path.write_text(yaml.safe_dump(sections))


@asynccontextmanager
async def loaded(config, state, *, named=True, gateway=NOTHING_FOUND):
    """The gateway in this event loop, with a configuration file: one that is named, or is found."""
    environ = {
        "CLAWDBOT_SERVER__PORT": "0",
        "CLAWDBOT_TELEMETRY__METRICS_PORT": "null",
        "CLAWDBOT_STATE_DIR": str(state),
        **({} if gateway is None else {"CLAWDBOT_GATEWAY": json.dumps(gateway)}),
    }
    settings = load(GatewayAndPlugins, config.path if named else None, environ)
    async with serving(settings) as served:
        yield served


async def reload(client) -> admin.ReloadModelsResponse:
    return await client.admin.ReloadModels(admin.ReloadModelsRequest(), timeout=20)


async def refusal(client):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reload(client)
    return remote_error(caught.value)


async def answer(client, model="chat") -> str:
    reply = await client.gateway.Generate(asks("x", model=model), timeout=20)
    return "".join(part.text for part in reply.message.parts)


async def listed(client) -> set[str]:
    response = await client.admin.ListBackends(admin.ListBackendsRequest())
    return {each.name for each in response.backends}
