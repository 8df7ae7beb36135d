"""Which tools and models exist: in a configuration, in a running suite, or by the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from clawdbot_servicekit.errors import RemoteError, StartupError

from clawdbot_cli.client_settings import silence_grpc_log
from clawdbot_cli.tls_options import TlsOptions

PAGE_SIZE: Final = 500
CALL_TIMEOUT: Final = 20.0
"""Seconds for a call that should return at once."""


@dataclass(frozen=True, slots=True)
class AvailableTools:
    """What flows may name. None: not known, and so not checked."""

    tools: Mapping[str, Mapping[str, Any]] | None = None
    """Name → JSON Schema of the tool's arguments; empty if only its name is known."""
    models: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class ToolOptions:
    """The command-line options that say which tools and models exist."""

    config: Path | None = None
    address: str | None = None
    key_file: Path | None = None
    tls: TlsOptions = field(default_factory=TlsOptions)
    tools: Sequence[str] = field(default_factory=tuple)
    models: Sequence[str] = field(default_factory=tuple)


def available_tools(options: ToolOptions) -> AvailableTools:
    """The tools and models that exist by all options together.

    Raises:
        StartupError: the configuration is wrong, or the suite does not answer.
    """
    found = AvailableTools()
    if options.config is not None:
        found = AvailableTools(_configured_tools(options.config))
    if options.address is not None:
        found = asyncio.run(_running_tools(options))
    named = {name: dict[str, Any]() for name in options.tools}
    tools = {**named, **(found.tools or {})} if named or found.tools is not None else None
    models = [*(found.models or ()), *options.models]
    return AvailableTools(tools, models if models or found.models is not None else None)


def _configured_tools(config: Path) -> Mapping[str, Mapping[str, Any]]:
    """The tools of the plugins that a configuration enables."""
    # Imported here: most runs need neither the services' settings nor plugins.
    from clawdbot_plugins.discovery import installed_plugins, load_enabled_plugins

    from clawdbot_cli.settings import suite_settings

    enabled = load_enabled_plugins(suite_settings(config, {}).plugin_configs(), installed_plugins())
    return {
        f"{plugin.definition.name}.{name}": tool.input_schema
        for plugin in enabled
        for name, tool in plugin.definition.tools.items()
    }


async def _running_tools(options: ToolOptions) -> AvailableTools:
    silence_grpc_log()
    # Imported here: gRPC takes longer to load than a flow to check.
    from clawdbot.plugins.v1.tool_service_pb2 import ListToolsRequest
    from clawdbot.plugins.v1.tool_service_pb2_grpc import ToolServiceStub
    from google.protobuf.json_format import MessageToDict

    from clawdbot_cli.client_settings import api_key
    from clawdbot_cli.connection import GATEWAY, ConnectionOptions, connect_or_start
    from clawdbot_cli.error_messages import error_message
    from clawdbot_cli.models.client import ModelClient
    from clawdbot_cli.rpc import paginate

    key = api_key(options.key_file)
    where = ConnectionOptions(options.address, options.tls)
    async with connect_or_start(where, lambda _: None, GATEWAY) as connection:
        metadata = (("authorization", f"Bearer {key}"),) if key else ()
        stub = ToolServiceStub(connection.channel)

        async def fetch(request: Any) -> Any:
            return await stub.ListTools(request, timeout=CALL_TIMEOUT, metadata=metadata)

        try:
            tools: dict[str, Mapping[str, Any]] = {}
            async for page in paginate(fetch, ListToolsRequest(page_size=PAGE_SIZE)):
                tools |= {each.spec.name: MessageToDict(each.spec.input_schema) for each in page.tools}
            models = [each.name for each in await ModelClient(connection.channel, key).list_models()]
        except RemoteError as error:
            raise StartupError(error_message(error, connection.display_name)) from None
    return AvailableTools(tools, models)
