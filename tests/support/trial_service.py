"""A service to test the kit with: on request it ticks, fails, dies or gets stuck.

Runs as `python -m tests.support.trial_service`, or in the test's own event loop as a `Trial` on a Host.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from clawdbot.common.v1 import tool_pb2
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc
from clawdbot_servicekit.application import Application, Dependency, Peers
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.errors import NotReady, StartupError
from clawdbot_servicekit.process import run_service
from clawdbot_servicekit.settings import Section, SharedSettings

SERVICE = "clawdbot.plugins.v1.ToolService"


class TrialSection(Section):
    refuse: str = ""
    """The text of a StartupError to raise at start."""
    die: bool = False
    """Exit at start without a message."""
    ready_file: Path | None = None
    """Not ready while this file is missing."""
    ends_file: Path | None = None
    """Written when the application has stopped cleanly."""


class TrialSettings(SharedSettings):
    default_port = 8099
    trial: TrialSection = TrialSection()


class Tools(tool_service_pb2_grpc.ToolServiceServicer):
    """ListTools returns process and tenant; InvokeTool does what the tool's name says."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        """Set when a call of `ticks` has sent its first event."""
        self.running = 0

    async def ListTools(self, request, context):
        names = (str(os.getpid()), current_caller().tenant, request.plugin)
        tools = [tool_service_pb2.Tool(spec=tool_pb2.ToolSpec(name=name)) for name in names]
        return tool_service_pb2.ListToolsResponse(tools=tools)

    async def InvokeTool(self, request, context) -> AsyncIterator[tool_service_pb2.InvokeToolResponse]:
        arguments = dict(request.arguments)
        if request.tool == "stick":
            time.sleep(60)  # noqa: ASYNC251 - blocks the event loop on purpose
        elif request.tool == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif request.tool == "fail":
            raise RuntimeError(str(arguments["text"]))
        self.running += 1
        try:
            for tick in range(int(arguments["ticks"])):
                progress = tool_service_pb2.ToolProgress(message=str(tick))
                yield tool_service_pb2.InvokeToolResponse(progress=progress)
                self.started.set()
                await asyncio.sleep(float(arguments.get("pause", 0)))
        finally:
            self.running -= 1
        yield tool_service_pb2.InvokeToolResponse(result=tool_service_pb2.ToolOutcome())


class Trial(Application):
    """The application."""

    def __init__(self, section: TrialSection) -> None:
        self.section = section
        self.tools = Tools()
        self.stopped = 0
        add_to_server = tool_service_pb2_grpc.add_ToolServiceServicer_to_server
        super().__init__("plugins", ErrorTable({}), {SERVICE: (add_to_server, self.tools)})

    async def start(self) -> None:
        if self.section.die:
            os._exit(7)
        if self.section.refuse:
            raise StartupError(self.section.refuse)

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        return (Dependency("file", self._check_file),)

    async def _check_file(self) -> None:
        if self.section.ready_file is not None and not self.section.ready_file.exists():
            raise NotReady("file", "it is missing")

    async def stop(self) -> None:
        self.stopped += 1
        if self.section.ends_file is not None:
            self.section.ends_file.write_text("ended")


def ticks(count: int, pause: float = 0.0) -> tool_service_pb2.InvokeToolRequest:
    """A request for so many events, so many seconds apart."""
    return invoke("ticks", ticks=count, pause=pause)


def invoke(tool: str, **arguments: Any) -> tool_service_pb2.InvokeToolRequest:
    request = tool_service_pb2.InvokeToolRequest(tool=tool)
    request.arguments.update(arguments)
    return request


def build(settings: TrialSettings, peers: Peers) -> Trial:
    return Trial(settings.trial)


if __name__ == "__main__":
    run_service(TrialSettings, build)
