"""Several turn engines on one store, with scripted peers: engines can join and crash while a test runs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from clawdbot.common.v1.message_pb2 import ROLE_USER, Message, Part
from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Event, Turn
from clawdbot_dialogue.core.flow.flow_registry import FlowRegistry
from clawdbot_dialogue.core.flow.loader import load_flow
from clawdbot_dialogue.core.session_admin import CreateSession, SessionAdmin
from clawdbot_dialogue.core.sessions.deployments import Deployments
from clawdbot_dialogue.core.sessions.records import ConcurrencyPolicy, TurnResult
from clawdbot_dialogue.core.turns.admission import TurnRequest
from clawdbot_dialogue.core.turns.engine import TurnEngine
from clawdbot_dialogue.core.turns.ports import TurnLimits
from clawdbot_dialogue.stores.in_memory.session_store import InMemorySessionStore
from clawdbot_dialogue.stores.sqlite.session_store import SqliteSessionStore
from clawdbot_servicekit.structs import to_struct

from tests.support.scripted_peers import OwnerRegistry, ScriptedGateway, ScriptedHooks, ScriptedTools
from tests.support.stalling_store import StallingStore

TENANT = "acme"


ERRAND = """
flow: errand
version: 1
description: Buys, then talks
slots:
  count: {type: integer, ask: How many?}
states:
  ask: {collect: [count], next: [{to: buy}]}
  buy:
    call: {tool: shop.buy, args: {count: "${slots.count}"}, effect: once}
    next: [{if: result.ok, to: wrap}, {on_error: any, to: ask, clear: [count]}, {to: ask, clear: [count]}]
  wrap:
    call: {tool: clock.now, effect: none}
    next: [{on_error: any, to: done}, {to: done}]
  done: {say: Done., end: true}
"""
"""A flow that calls a tool once and for all, and then another one."""


class Clock:
    """The time, plus an offset that a test sets."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


class ClusterNode:
    """One engine, as one process has it."""

    def __init__(self, cluster: EngineCluster, store: StallingStore) -> None:
        self.store = store
        self.owners = cluster.owners.register()
        deployments = Deployments(store, cluster.flows, cluster.clock)
        self.engine = TurnEngine(
            store=store,
            flows=cluster.flows.get,
            gateway=cluster.gateway,
            tools=cluster.tools,
            hooks=cluster.hooks,
            lease_owners=self.owners,
            limits=cluster.limits,
            clock=cluster.clock,
            load_flows=deployments.catch_up,
        )
        self.sessions = SessionAdmin(
            store=store,
            flows=cluster.flows,
            engine=self.engine,
            clock=cluster.clock,
            time_zone=None,
            deployments=deployments,
        )

    async def send(self, session: Session, content: str | Message | Event, **options: Any) -> TurnResult:
        """Sends a turn and returns its result."""
        return await self.engine.send(turn_request(session, content, **options))

    async def events(
        self, session: Session, content: str | Message | Event, **options: Any
    ) -> list[StreamTurnResponse]:
        """Streams a turn and returns all its events."""
        events: list[StreamTurnResponse] = []

        async def send(event: StreamTurnResponse) -> None:
            events.append(event)

        await self.engine.stream(turn_request(session, content, **options), send)
        return events


class EngineCluster:
    """The store, the peers and the engines."""

    def __init__(self, store: str, folder: Path, limits: TurnLimits) -> None:
        self.gateway = ScriptedGateway()
        self.tools = ScriptedTools()
        self.hooks = ScriptedHooks()
        self.flows = FlowRegistry()
        self.owners = OwnerRegistry()
        self.clock = Clock()
        self.limits = limits
        self.path = folder / "sessions.db"
        self._memory = InMemorySessionStore() if store == "memory" else None
        self._open: list[Any] = []
        self._nodes: list[ClusterNode] = []

    @property
    def durable(self) -> bool:
        """Whether the store is a file."""
        return self._memory is None

    @property
    def newest(self) -> ClusterNode:
        """The engine that most tests use: the one that joined last."""
        return self._nodes[-1]

    @property
    def engine(self) -> TurnEngine:
        return self.newest.engine

    @property
    def store(self) -> StallingStore:
        return self.newest.store

    def flow(self, source: str) -> None:
        """Adds a flow."""
        self.flows.add(load_flow(source, "test.yaml"))

    async def join(self, stall: tuple[str, int, bool] | None = None) -> ClusterNode:
        """Starts another engine on the same store; `stall` says where its store stalls."""
        store: Any = self._memory
        if store is None:
            store = SqliteSessionStore(self.path, self.clock)
            await store.open()
            self._open.append(store)
        node = ClusterNode(self, StallingStore(store))
        if stall is not None:
            node.store.stall(stall[0], stall[1], done=stall[2])
        self._nodes.append(node)
        await node.engine.start()
        return node

    async def kill(self, dying: ClusterNode) -> None:
        """Ends an engine as SIGKILL would, as far as one process can simulate that."""
        await dying.engine._supervisor.stop()
        self.owners.dead.add(dying.owners.me)

    async def crash(self, stall: tuple[str, int, bool] | None = None) -> ClusterNode:
        """Kills the newest engine and starts another one."""
        await self.kill(self.newest)
        return await self.join(stall)

    async def close(self) -> None:
        for node in self._nodes:
            node.engine._limits = replace(node.engine._limits, shutdown_grace=0.0)
            await node.engine.stop()
        for store in self._open:
            await store.close()

    async def open_session(self, flow: str = "chat", **options: Any) -> Session:
        """Creates a session."""
        session, _ = await self.newest.sessions.create(CreateSession(TENANT, flow, **options))
        return session

    async def send(self, session: Session, content: str | Message | Event, **options: Any) -> TurnResult:
        return await self.newest.send(session, content, **options)

    async def events(
        self, session: Session, content: str | Message | Event, **options: Any
    ) -> list[StreamTurnResponse]:
        return await self.newest.events(session, content, **options)

    async def turns(self, session: Session) -> Sequence[Turn]:
        """All turns of the session."""
        return (await self.store.list_turns(TENANT, session.id, 500, None)).items

    async def session(self, session: Session) -> Session:
        """The session as of its last commit."""
        return await self.store.get_session(TENANT, session.id)


def turn_request(
    session: Session,
    content: str | Message | Event,
    request_id: str = "",
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy.ENQUEUE,
    *,
    cancel_on_disconnect: bool = False,
    tenant: str = TENANT,
) -> TurnRequest:
    """An input for a session."""
    said = Message(role=ROLE_USER, parts=[Part(text=content)]) if isinstance(content, str) else content
    return TurnRequest(tenant, session.id, said, request_id, concurrency, cancel_on_disconnect)


def event(name: str, **data: Any) -> Event:
    """An event as input."""
    return Event(name=name, data=to_struct(data))


def reply_texts(turn: Turn) -> list[str]:
    """The texts of a turn's replies."""
    return ["".join(part.text for part in reply.parts) for reply in turn.replies]


def event_kinds(events: Sequence[StreamTurnResponse]) -> list[str]:
    """The kinds of the events."""
    return [str(each.WhichOneof("event")) for each in events]


def streamed_text(events: Sequence[StreamTurnResponse]) -> str:
    """The text of all text deltas."""
    return "".join(each.text_delta.text for each in events)


@asynccontextmanager
async def running_cluster(
    store: str, folder: Path, limits: TurnLimits | None = None
) -> AsyncIterator[EngineCluster]:
    """Runs a cluster with one engine; `store` is "memory" or "sqlite"."""
    cluster = EngineCluster(store, folder, limits or TurnLimits())
    try:
        await cluster.join()
        yield cluster
    finally:
        await cluster.close()
