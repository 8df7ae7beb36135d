"""The three services on one host: the suite's composition root, for `clawdbot up`, the chat and tests.

It puts together and describes; what the services do and how a process lives are not its business.
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
        """Builds all three and adds them.

        Raises:
            StartupError: for what an operator can mend: a broken flow file, an unknown plugin.
        """
        self.settings = settings
        self.host = host
        peers = InProcessPeers(host)
        self.plugins = clawdbot_plugins.wiring.build(settings, peers)
        self.gateway = clawdbot_model_gateway.wiring.build(settings, peers)
        self.dialogue = clawdbot_dialogue.wiring.build(settings, peers)
        self.applications = (self.dialogue, self.gateway, self.plugins)
        # Those that others call are started first and stopped last.
        for application in reversed(self.applications):
            host.add(application)

    @property
    def address(self) -> str:
        """host:port, known once the host has started."""
        return sockets.target(self.settings.server.host, self.host.port)

    def channel(self) -> grpc.aio.Channel:
        """A channel to all three, without a socket."""
        return self.host.channel()


@asynccontextmanager
async def running_suite(settings: SuiteSettings, grace: float = 0.0) -> AsyncIterator[Suite]:
    """The suite in this loop, SERVING inside the block.

    Args:
        settings: server.workers has no meaning here: it is one process, this one.
        grace: seconds that calls in flight may take at the end.

    Raises:
        StartupError: for what an operator can mend.
    """
    host = Host(settings)
    try:
        suite = Suite(settings, host)
        await host.start()
        await host.ready()
        yield suite
    finally:
        await host.stop(grace)
