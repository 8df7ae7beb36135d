"""Which tools and models there are: in a configuration, in a running suite, or as the command line says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from clawdbot_servicekit.errors import RemoteError, StartupError

PAGE: Final = 500
PATIENCE: Final = 20.0
"""Seconds for a call that should answer at once."""


@dataclass(frozen=True, slots=True)
class Known:
    """What flows may name. None: not known, and so not checked."""

    tools: Mapping[str, Mapping[str, Any]] | None = None
    """Each tool's JSON Schema; empty where only its name is known."""
    models: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """Where to learn it."""

    config: Path | None = None
    address: str | None = None
    key_file: Path | None = None
    ca_file: Path | None = None
    tools: Sequence[str] = field(default_factory=tuple)
    models: Sequence[str] = field(default_factory=tuple)


def known(wishes: Wishes) -> Known:
    """What there is.

    Raises:
        StartupError: for a configuration that is wrong, or a suite that does not answer.
    """
    found = Known()
    if wishes.config is not None:
        found = Known(_configured(wishes.config))
    if wishes.address is not None:
        found = asyncio.run(_running(wishes))
    named = {name: dict[str, Any]() for name in wishes.tools}
    tools = {**named, **(found.tools or {})} if named or found.tools is not None else None
    models = [*(found.models or ()), *wishes.models]
    return Known(tools, models if models or found.models is not None else None)


def _configured(config: Path) -> Mapping[str, Mapping[str, Any]]:
    """The tools of the plugins that a configuration turns on."""
    # The services' settings and plugins are only needed where somebody asks for them.
    from clawdbot_plugins.discovery import choose, installed

    from clawdbot_cli.settings import suite_settings

    chosen = choose(suite_settings(config, {}).choices(), installed())
    return {
        f"{each.definition.name}.{name}": tool.input_schema
        for each in chosen
        for name, tool in each.definition.tools.items()
    }


async def _running(wishes: Wishes) -> Known:
    # gRPC takes longer to load than a flow to check.
    from clawdbot.plugins.v1.tool_service_pb2 import ListToolsRequest
    from clawdbot.plugins.v1.tool_service_pb2_grpc import ToolServiceStub
    from google.protobuf.json_format import MessageToDict

    from clawdbot_cli.client_settings import api_key
    from clawdbot_cli.connection import GATEWAY, Whereabouts, reached
    from clawdbot_cli.error_messages import sentence
    from clawdbot_cli.models.client import ModelClient
    from clawdbot_cli.rpc import pages

    key = api_key(wishes.key_file)
    async with reached(Whereabouts(wishes.address, wishes.ca_file), lambda _: None, GATEWAY) as connection:
        metadata = (("authorization", f"Bearer {key}"),) if key else ()
        stub = ToolServiceStub(connection.channel)

        async def ask(request: Any) -> Any:
            return await stub.ListTools(request, timeout=PATIENCE, metadata=metadata)

        try:
            tools: dict[str, Mapping[str, Any]] = {}
            async for page in pages(ask, ListToolsRequest(page_size=PAGE)):
                tools |= {each.spec.name: MessageToDict(each.spec.input_schema) for each in page.tools}
            models = [each.name for each in await ModelClient(connection.channel, key).models()]
        except RemoteError as fault:
            raise StartupError(sentence(fault, connection.where)) from None
    return Known(tools, models)
