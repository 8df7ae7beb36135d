"""Providers as the configuration makes them, for tests that speak to one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from clawdbot_model_gateway.core.provider import Provider
from clawdbot_model_gateway.provider_registry import installed, make_provider
from clawdbot_model_gateway.settings import BackendSettings


def make(**settings: Any) -> Provider:
    """A provider as the configuration makes it, by its entry point."""
    return make_provider("model", BackendSettings(**settings), installed())


async def started(provider: Provider) -> AsyncIterator[Provider]:
    """Started for one test."""
    await provider.start()
    yield provider
    await provider.stop()
