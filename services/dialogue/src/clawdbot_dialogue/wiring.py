"""Puts the dialogue service together: the only module that knows every class."""

from __future__ import annotations

import time
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Final

from clawdbot_plugin_client.hooks import HookClient
from clawdbot_servicekit.application import Dependency, Peers
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.media_policy import MediaPolicy
from clawdbot_servicekit.peer_health import PeerHealth, absent_peer
from clawdbot_servicekit.process_locks import ProcessLocks

from clawdbot_dialogue.api.dialogue_servicer import DialogueServicer
from clawdbot_dialogue.api.error_table import error_table
from clawdbot_dialogue.api.flow_servicer import FlowServicer
from clawdbot_dialogue.api.request_validation import RequestValidator
from clawdbot_dialogue.application import Components, DialogueApplication
from clawdbot_dialogue.clients.absent import AbsentGateway, AbsentTools
from clawdbot_dialogue.clients.gateway import GatewayClient
from clawdbot_dialogue.clients.graphviz import GraphvizRenderer
from clawdbot_dialogue.clients.tools import ToolsClient
from clawdbot_dialogue.core.flow_admin import FlowAdmin
from clawdbot_dialogue.core.session_admin import SessionAdmin
from clawdbot_dialogue.core.sessions.deployments import Deployments
from clawdbot_dialogue.core.sessions.lease_owners import LeaseOwners
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.engine import TurnEngine
from clawdbot_dialogue.core.turns.ports import TurnLimits
from clawdbot_dialogue.flow_files import load_flows
from clawdbot_dialogue.settings import DialogueSection, DialogueSettings
from clawdbot_dialogue.stores.in_memory.owner import SingleOwner
from clawdbot_dialogue.stores.in_memory.session_store import InMemorySessionStore
from clawdbot_dialogue.stores.sqlite.session_store import SqliteSessionStore

DATABASE_FILE: Final = Path("dialogue") / "sessions.db"
"""Under state_dir."""

GATEWAY_SERVICE: Final = "clawdbot.model_gateway.v1.ModelGatewayService"
WITHOUT_GATEWAY: Final = "turns that need a model fail"
WITHOUT_PLUGINS: Final = "turns that call a tool fail, and no hook is asked"


def build(
    settings: DialogueSettings, peers: Peers, *, clock: Callable[[], float] = time.time
) -> DialogueApplication:
    """Builds the dialogue service; it is not started yet.

    Args:
        settings: The settings of the service, or of the suite.
        peers: The model gateway and the plugin service.
        clock: Returns epoch seconds.

    Raises:
        StartupError: a flow file has errors, or the workers cannot share the store.
    """
    media = MediaPolicy(settings.media)
    limits = turn_limits(settings.dialogue, media)
    flows = load_flows(settings.flows)
    store, lease_owners = _store(settings, clock)
    deployments = Deployments(store, flows, clock)
    gateway_channel, plugins_channel = peers.channel("model_gateway"), peers.channel("plugins")
    gateway = AbsentGateway() if gateway_channel is None else GatewayClient(gateway_channel)
    tools = AbsentTools() if plugins_channel is None else ToolsClient(plugins_channel)
    hooks = HookClient(plugins_channel)
    engine = TurnEngine(
        store=store,
        flows=flows.get,
        gateway=gateway,
        tools=tools,
        hooks=hooks,
        lease_owners=lease_owners,
        limits=limits,
        clock=clock,
        load_flows=deployments.catch_up,
    )
    sessions = SessionAdmin(
        store=store,
        flows=flows,
        engine=engine,
        clock=clock,
        time_zone=limits.time_zone,
        deployments=deployments,
    )
    validator = RequestValidator(settings.dialogue, media)
    components = Components(
        store=store,
        lease_owners=lease_owners,
        flows=flows,
        deployments=deployments,
        hooks=hooks,
        peers=(
            Dependency("plugins", hooks.check)
            if plugins_channel
            else absent_peer("plugins", WITHOUT_PLUGINS),
            PeerHealth(gateway_channel, "model_gateway", GATEWAY_SERVICE).dependency()
            if gateway_channel
            else absent_peer("model_gateway", WITHOUT_GATEWAY),
        ),
        engine=engine,
        dialogue_servicer=DialogueServicer(sessions, engine, validator),
        flow_servicer=FlowServicer(
            FlowAdmin(flows, tools, gateway, deployments), sessions, validator, GraphvizRenderer()
        ),
    )
    return DialogueApplication(components, error_table())


def turn_limits(section: DialogueSection, media: MediaPolicy) -> TurnLimits:
    """Returns the engine's limits, as the settings have them."""
    return TurnLimits(
        turn_timeout=section.turn_timeout,
        lease_seconds=section.lease,
        inbox=section.inbox,
        max_attempts=section.attempts,
        tool_rounds=section.tool_rounds,
        history=section.history,
        history_bytes=section.history_bytes,
        media=media,
        time_zone=zoneinfo.ZoneInfo(section.time_zone) if section.time_zone else None,
    )


def _store(settings: DialogueSettings, clock: Callable[[], float]) -> tuple[SessionStore, LeaseOwners]:
    setting = settings.stores.dialogue
    if setting == "memory":
        if settings.server.workers > 1:
            raise StartupError(
                f"stores.dialogue: memory cannot be shared by {settings.server.workers} workers; use sqlite."
            )
        return InMemorySessionStore(), SingleOwner()
    path = settings.state_dir / DATABASE_FILE if setting == "sqlite" else Path(setting)
    # Next to the file: every process that shares it must see the others.
    return SqliteSessionStore(path, clock), ProcessLocks(path.with_name(f"{path.name}.owners"))
