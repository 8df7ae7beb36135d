"""One grpc.aio server and the applications that it carries, from start to drain.

It owns ports, health, reflection, TLS, limits and the order of a server's life; what the applications do, how a call
is worked off (pipeline) and what the process is (process, workers) are not its business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc.aio

from clawdbot_servicekit.application import Application
from clawdbot_servicekit.settings import SharedSettings


class Host:
    """Carries applications on one server. Make it inside a running loop; start once, stop once."""

    def __init__(self, settings: SharedSettings) -> None:
        raise NotImplementedError

    @property
    def port(self) -> int:
        """The TCP port that it listens on, known after start."""
        raise NotImplementedError

    def add(self, application: Application) -> None:
        """Registers one more application. Before start."""
        raise NotImplementedError

    def channel(self) -> grpc.aio.Channel:
        """A channel straight to the applications of this host, without a socket. The same one each time."""
        raise NotImplementedError

    def on_stop(self, close: Callable[[], Awaitable[None]]) -> None:
        """Has something closed after the applications have stopped; the last one given is closed first."""
        raise NotImplementedError

    async def start(self) -> int:
        """Starts the applications, listens, and returns the port. Serving begins once every check passes: `ready`.

        Raises:
            StartupError: for what an operator can mend: a taken port, a bad certificate, an unwritable folder.
        """
        raise NotImplementedError

    async def ready(self) -> None:
        """Returns when the host is SERVING."""
        raise NotImplementedError

    async def stop(self, grace: float | None = None) -> None:
        """Drains and frees everything: not ready → settle → no new calls → calls end within `grace` seconds → stop.

        A second call while the first one waits cuts the wait short: what is left ends with UNAVAILABLE.

        Args:
            grace: server.grace when left out.
        """
        raise NotImplementedError
