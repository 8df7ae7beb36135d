"""Creates providers as the configuration does, for tests that talk to one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from clawdbot_model_gateway.core.provider import Provider
from clawdbot_model_gateway.provider_registry import installed_providers, make_provider
from clawdbot_model_gateway.settings import BackendSettings


def make(**settings: Any) -> Provider:
    """A provider, created by its entry point."""
    return make_provider("model", BackendSettings(**settings), installed_providers())


async def started(provider: Provider) -> AsyncIterator[Provider]:
    """The provider, started for one test."""
    await provider.start()
    yield provider
    await provider.stop()
