"""Puts the model gateway together: the only file that knows every class."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from typing import Final

from clawdbot_plugin_client.hooks import Hooks
from clawdbot_servicekit.application import Peers

from clawdbot_model_gateway.api.admin_servicer import AdminServicer
from clawdbot_model_gateway.api.error_table import error_table
from clawdbot_model_gateway.api.gateway_servicer import GatewayServicer
from clawdbot_model_gateway.application import GatewayApplication, Parts
from clawdbot_model_gateway.backend_config import Lineup, lineup_of
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.embeddings import Embeddings, EmbedLimits
from clawdbot_model_gateway.core.generation import Generation
from clawdbot_model_gateway.core.model_admin import Catalogue
from clawdbot_model_gateway.core.model_discovery import Directory
from clawdbot_model_gateway.core.provider import VendorModel
from clawdbot_model_gateway.core.routing import Routing
from clawdbot_model_gateway.core.token_counting import Counting
from clawdbot_model_gateway.core.validation import RequestLimits
from clawdbot_model_gateway.provider_registry import installed, make_provider
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_model_gateway.stores.file.alias_overrides import FileSwitches

FOLDER: Final = "model_gateway"
"""Under state_dir."""


def build(
    settings: GatewaySettings,
    peers: Peers,
    *,
    draw: Callable[[], float] = random.random,
    available: Mapping[str, EntryPoint] | None = None,
) -> GatewayApplication:
    """The model gateway, not yet started.

    Args:
        settings: its settings, or the suite's.
        peers: for the plugins' hooks.
        draw: uniform numbers in [0, 1), for the weights of targets.
        available: the providers that are installed; looked up when left out.

    Raises:
        StartupError: for an unknown provider, wrong settings of one, or an alias that leads nowhere.
    """
    providers = installed() if available is None else available
    lineup = lineup_of(settings, providers)
    backends = _backends(lineup, providers)
    switches = FileSwitches(settings.state_dir / FOLDER)
    routing = Routing(switches)
    directory = Directory(routing, backends)
    hooks = Hooks(peers.channel("plugins"))
    limits = RequestLimits(settings.gateway.max_request, settings.gateway.max_messages)
    generation = Generation(directory, backends, hooks=hooks, limits=limits, draw=draw)
    embed_limits = EmbedLimits(settings.gateway.max_texts, settings.gateway.max_request)
    embeddings = Embeddings(directory, backends, hooks=hooks, limits=embed_limits, draw=draw)
    counting = Counting(directory, backends, limits=limits)
    catalogue = Catalogue(routing, directory, backends)
    parts = Parts(
        lineup=lineup,
        backends=backends,
        routing=routing,
        directory=directory,
        catalogue=catalogue,
        counting=counting,
        switches=switches,
        hooks=hooks,
        gateway_servicer=GatewayServicer(generation, embeddings, counting),
        admin_servicer=AdminServicer(catalogue),
    )
    return GatewayApplication(parts, error_table())


def _backends(lineup: Lineup, available: Mapping[str, EntryPoint]) -> dict[str, Backend]:
    return {
        name: Backend(
            name,
            settings.provider,
            make_provider(lineup.places[name], settings, available),
            models=tuple(VendorModel(each.name, each.context_length) for each in settings.models),
            preferred=settings.name or "",
            complete=bool(settings.models),
        )
        for name, settings in lineup.backends.items()
    }
