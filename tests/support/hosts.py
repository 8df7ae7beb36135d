"""A host in the test's own event loop, with the trial service on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from clawdbot_servicekit.host import Host

from tests.support.engines import selected_engine
from tests.support.trial_service import Trial, TrialSection, TrialSettings


class Hosted:
    """A running host, its application and its address."""

    def __init__(self, host: Host, trial: Trial) -> None:
        self.host = host
        self.trial = trial

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.host.port}"

    def insecure(self, *options: tuple[str, Any]) -> grpc.aio.Channel:
        """A new channel, over TCP."""
        return grpc.aio.insecure_channel(self.address, options)


def trial_settings(state: Path, **sections: Any) -> TrialSettings:
    """Settings with any free port and metrics off, overridden by the sections."""
    server = {"port": 0, "engine": selected_engine(), **sections.pop("server", {})}
    telemetry = {"metrics_port": None, **sections.pop("telemetry", {})}
    return TrialSettings.model_validate(
        {"server": server, "telemetry": telemetry, "state_dir": state, **sections}
    )


@asynccontextmanager
async def hosting(
    state: Path, trial: TrialSection | None = None, *, until_ready: bool = True, **sections: Any
) -> AsyncIterator[Hosted]:
    """Starts a host, and stops it without grace on exit."""
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
