"""A host in the test's own loop, with the trial service on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from clawdbot_servicekit.host import Host

from tests.support.trial_service import Trial, TrialSection, TrialSettings


class Hosted:
    """A running host, its application and how to reach it."""

    def __init__(self, host: Host, trial: Trial) -> None:
        self.host = host
        self.trial = trial

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.host.port}"

    def insecure(self, *options: tuple[str, Any]) -> grpc.aio.Channel:
        """A channel of its own, over TCP."""
        return grpc.aio.insecure_channel(self.address, options)


def trial_settings(state: Path, **sections: Any) -> TrialSettings:
    """Settings on any free port, metrics off, the sections laid over."""
    server = {"port": 0, **sections.pop("server", {})}
    telemetry = {"metrics_port": None, **sections.pop("telemetry", {})}
    return TrialSettings.model_validate(
        {"server": server, "telemetry": telemetry, "state_dir": state, **sections}
    )


@asynccontextmanager
async def hosting(
    state: Path, trial: TrialSection | None = None, *, until_ready: bool = True, **sections: Any
) -> AsyncIterator[Hosted]:
    """Starts a host, and stops it at once on the way out."""
    host = Host(trial_settings(state, **sections))
    application = Trial(trial or TrialSection())
    host.add(application)
    try:
        await host.start()
        if until_ready:
            await host.ready()
        yield Hosted(host, application)
    finally:
        await host.stop(0)
