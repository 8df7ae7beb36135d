"""Puts the dialogue service together: the only file that knows every class."""

from __future__ import annotations

import time
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Final

from clawdbot_plugin_client.hooks import Hooks
from clawdbot_servicekit.application import Peers
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.process_locks import ProcessLocks

from clawdbot_dialogue.api.dialogue_servicer import DialogueServicer
from clawdbot_dialogue.api.error_table import error_table
from clawdbot_dialogue.api.flow_servicer import FlowServicer
from clawdbot_dialogue.api.request_validation import RequestValidator
from clawdbot_dialogue.application import DialogueApplication, LivingOwners, Parts
from clawdbot_dialogue.clients.gateway import GatewayClient
from clawdbot_dialogue.clients.graphviz import GraphvizRenderer
from clawdbot_dialogue.clients.tools import ToolsClient
from clawdbot_dialogue.core.flow_admin import FlowAdmin
from clawdbot_dialogue.core.session_admin import SessionAdmin
from clawdbot_dialogue.core.sessions.deployments import Deployments
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.engine import TurnEngine
from clawdbot_dialogue.core.turns.ports import TurnLimits
from clawdbot_dialogue.flow_files import load_flows
from clawdbot_dialogue.settings import DialogueSection, DialogueSettings
from clawdbot_dialogue.stores.in_memory.owner import SoleOwner
from clawdbot_dialogue.stores.in_memory.session_store import InMemorySessionStore
from clawdbot_dialogue.stores.sqlite.session_store import SqliteSessionStore

FILE: Final = Path("dialogue") / "sessions.db"
"""Under state_dir."""


def build(
    settings: DialogueSettings, peers: Peers, *, clock: Callable[[], float] = time.time
) -> DialogueApplication:
    """The dialogue service, not yet started.

    Args:
        settings: its settings, or the suite's.
        peers: the model gateway and the plugin service.
        clock: seconds since 1970.

    Raises:
        StartupError: for a broken flow file, or a store that the workers cannot share.
    """
    limits = turn_limits(settings.dialogue)
    flows = load_flows(settings.flows)
    store, owners = _store(settings, clock)
    deployments = Deployments(store, flows, clock)
    gateway = GatewayClient(peers.channel("model_gateway"))
    tools = ToolsClient(peers.channel("plugins"))
    hooks = Hooks(peers.channel("plugins"))
    engine = TurnEngine(
        store=store,
        flows=flows.get,
        gateway=gateway,
        tools=tools,
        hooks=hooks,
        owners=owners,
        limits=limits,
        clock=clock,
        refresh=deployments.refresh,
    )
    sessions = SessionAdmin(
        store=store, flows=flows, engine=engine, clock=clock, zone=limits.zone, deployments=deployments
    )
    intake = RequestValidator(settings.dialogue)
    parts = Parts(
        store=store,
        owners=owners,
        flows=flows,
        deployments=deployments,
        hooks=hooks,
        engine=engine,
        dialogue_servicer=DialogueServicer(sessions, engine, intake),
        flow_servicer=FlowServicer(
            FlowAdmin(flows, tools, gateway, deployments), sessions, intake, GraphvizRenderer()
        ),
    )
    return DialogueApplication(parts, error_table())


def turn_limits(section: DialogueSection) -> TurnLimits:
    """The engine's limits, as the settings have them."""
    return TurnLimits(
        turn=section.turn_timeout,
        lease=section.claim,
        inbox=section.inbox,
        attempts=section.attempts,
        tool_rounds=section.tool_rounds,
        history=section.history,
        history_bytes=section.history_bytes,
        zone=zoneinfo.ZoneInfo(section.time_zone) if section.time_zone else None,
    )


def _store(settings: DialogueSettings, clock: Callable[[], float]) -> tuple[SessionStore, LivingOwners]:
    where = settings.stores.dialogue
    if where == "memory":
        if settings.server.workers > 1:
            raise StartupError(
                f"stores.dialogue: memory cannot be shared by {settings.server.workers} workers; use sqlite."
            )
        return InMemorySessionStore(), SoleOwner()
    path = settings.state_dir / FILE if where == "sqlite" else Path(where)
    # Beside the file: whoever shares it must see who else does.
    return SqliteSessionStore(path, clock), ProcessLocks(path.with_name(f"{path.name}.owners"))
