"""The composition root of the suite: three services on one host, for `clawdbot up`, the chat and tests.

It only builds and connects them. The host runs the process; the services do the work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import clawdbot_dialogue.wiring
import clawdbot_model_gateway.wiring
import clawdbot_plugins.wiring
import grpc.aio
from clawdbot_servicekit import sockets
from clawdbot_servicekit.host import Host
from clawdbot_servicekit.peers import InProcessPeers

from clawdbot_cli.settings import SuiteSettings


class Suite:
    """The services, built and added to a host that has not started yet."""

    def __init__(self, settings: SuiteSettings, host: Host) -> None:
        """Builds all three services and adds them to the host.

        Raises:
            StartupError: for what an operator can fix: a broken flow file, an unknown plugin.
        """
        self.settings = settings
        self.host = host
        peers = InProcessPeers(host)
        self.plugins = clawdbot_plugins.wiring.build(settings, peers)
        self.gateway = clawdbot_model_gateway.wiring.build(settings, peers)
        self.dialogue = clawdbot_dialogue.wiring.build(settings, peers)
        self.applications = (self.dialogue, self.gateway, self.plugins)
        # The services that others call are started first and stopped last.
        for application in reversed(self.applications):
            host.add(application)

    @property
    def address(self) -> str:
        """host:port, known once the host has started."""
        return sockets.target(self.settings.server.host, self.host.port)

    def channel(self) -> grpc.aio.Channel:
        """A channel to all three services, without a socket."""
        return self.host.channel()


@asynccontextmanager
async def running_suite(settings: SuiteSettings, grace: float = 0.0) -> AsyncIterator[Suite]:
    """The suite in this event loop, SERVING inside the block.

    Args:
        settings: server.workers is ignored: there is one process, this one.
        grace: seconds for calls in flight to finish at the end.

    Raises:
        StartupError: for what an operator can fix.
    """
    with settings.locating_errors():
        host = Host(settings)
    try:
        with settings.locating_errors():
            suite = Suite(settings, host)
            await host.start()
            await host.ready()
        yield suite
    finally:
        await host.stop(grace)
