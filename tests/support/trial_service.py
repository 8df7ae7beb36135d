"""A service to test the kit with: on request it ticks, fails, dies or gets stuck.

Runs as `python -m tests.support.trial_service`, or in the test's own event loop as a `Trial` on a Host.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import structlog
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
    stop: str = ""
    """What its stop does: hang, ignore (cancellation), or a key of STICK."""


class TrialSettings(SharedSettings):
    default_port = 8099
    trial: TrialSection = TrialSection()


def _spin(seconds: float) -> None:
    """Python code that runs for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


LEAST = 19
"""What is to take long leaves the processors to other tests. Not where threads wait for its lock by turns."""


def _freeze(seconds: float) -> None:
    """C code that never lets another thread run, for far longer than so many seconds."""
    del seconds
    os.nice(LEAST)
    sum(range(10**13))


def _digest(seconds: float) -> None:
    """C code that lets other threads run, and no signal handler."""
    os.nice(LEAST)
    hashlib.pbkdf2_hmac("sha256", b"", b"", min(int(seconds * 1_000_000), 2**31 - 1))


STICK = {"sleep": time.sleep, "spin": _spin, "freeze": _freeze, "digest": _digest}
"""Ways to keep a thread busy."""


async def _ignore_cancellation() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


class Tools(tool_service_pb2_grpc.ToolServiceServicer):
    """ListTools returns process and tenant; InvokeTool does what the tool's name says."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        """Set when a call of `ticks` has sent its first event."""
        self.begun = asyncio.Event()
        """Set when a call has begun."""
        self.running = 0

    async def ListTools(self, request, context):
        names = (str(os.getpid()), current_caller().tenant, request.plugin)
        tools = [tool_service_pb2.Tool(spec=tool_pb2.ToolSpec(name=name)) for name in names]
        return tool_service_pb2.ListToolsResponse(tools=tools)

    async def InvokeTool(self, request, context) -> AsyncIterator[tool_service_pb2.InvokeToolResponse]:
        arguments = dict(request.arguments)
        if request.tool != "ticks":
            structlog.get_logger(__name__).info("invoked")
        if request.tool == "stick":
            STICK[arguments.get("how", "sleep")](float(arguments.get("seconds", 60)))
        elif request.tool == "fifo":  # until a test writes to it
            os.close(os.open(str(arguments["path"]), os.O_RDONLY))
        elif request.tool == "thread":
            threading.Thread(target=STICK[arguments["how"]], args=(3600,)).start()
        elif request.tool == "executor":
            await asyncio.to_thread(STICK[arguments["how"]], 3600)
        elif request.tool == "stubborn":
            yield tool_service_pb2.InvokeToolResponse(progress=tool_service_pb2.ToolProgress())
            await _ignore_cancellation()
        elif request.tool == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif request.tool == "fail":
            raise RuntimeError(str(arguments["text"]))
        self.running += 1
        self.begun.set()
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
        if self.section.stop in STICK:
            STICK[self.section.stop](3600)
        elif self.section.stop == "hang":
            await asyncio.Event().wait()
        elif self.section.stop == "ignore":
            await _ignore_cancellation()
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
