"""Runs a module of ours as `python -m` does, and counts what it asks of Python's and gRPC's public seams.

`python -m tests.bench.counted clawdbot_cli up` serves as ever. A connection to COUNTS_PORT gets the counts so
far, as JSON: from a thread of its own, so that asking gives the event loop nothing to do.
"""

from __future__ import annotations

import io
import json
import os
import queue
import resource
import runpy
import socketserver
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import clawdbot
import uvloop
from google.protobuf import message_factory
from typing_extensions import override

PORT_VARIABLE = "COUNTS_PORT"
CHANNEL_METHODS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

_counts: Counter[str] = Counter()
_lock = threading.Lock()


def add(name: str, number: int = 1) -> None:
    """Counts something; from any thread."""
    with _lock:
        _counts[name] += number


def counted(name: str, function: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The function, whose calls are counted; None stays None."""
    if function is None:
        return None

    def call(*args: Any, **kwargs: Any) -> Any:
        add(name)
        return function(*args, **kwargs)

    return call


class CountingLoop(uvloop.Loop):
    """The services' event loop. Its call_at calls its call_later."""

    @override
    def create_task(self, *args: Any, **kwargs: Any) -> Any:
        add("tasks")
        return super().create_task(*args, **kwargs)

    @override
    def call_later(self, *args: Any, **kwargs: Any) -> Any:
        add("timers")
        return super().call_later(*args, **kwargs)

    @override
    def call_soon(self, *args: Any, **kwargs: Any) -> Any:
        add("callbacks")
        return super().call_soon(*args, **kwargs)

    @override
    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> Any:
        add("wake-ups by threads")
        return super().call_soon_threadsafe(*args, **kwargs)


class CountingQueue(queue.SimpleQueue[Any]):
    """What threads take their jobs from: SQLite's, and those of an executor."""

    @override
    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        add("jobs for threads")
        super().put(item, block, timeout)


class CountingLog(io.TextIOWrapper):
    """The process's stderr, which is where it logs."""

    @override
    def write(self, text: str) -> int:
        add("log writes")
        add("log lines", text.count("\n"))
        return super().write(text)


def count_loop() -> None:
    """Tasks, timers, callbacks (a task's steps among them), and what threads bring to the loop."""
    uvloop.Loop = CountingLoop  # type: ignore[misc]
    queue.SimpleQueue = CountingQueue  # type: ignore[misc]


def count_sql() -> None:
    """Statements and transactions, where SQLite runs them; what a trigger does is part of its statement."""
    connect = sqlite3.connect

    def trace(statement: str) -> None:
        if statement.startswith("BEGIN"):
            add("transactions")
        elif not statement.startswith(("COMMIT", "ROLLBACK", "--")):
            add("SQL statements")

    def connect_counted(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(trace)
        return connection

    sqlite3.connect = connect_counted


def count_log() -> None:
    """Lines on stderr, and the writes that they took."""
    sys.stderr = CountingLog(sys.stderr.buffer, encoding="utf-8", line_buffering=True)


def count_messages() -> None:
    """What Python code has protobuf encode and decode; a message inside another is not counted again."""
    for root in map(Path, clawdbot.__path__):
        for file in root.rglob("*_pb2.py"):
            module = ".".join(["clawdbot", *file.relative_to(root).with_suffix("").parts])
            _count_types(import_module(module).DESCRIPTOR.message_types_by_name.values())


def _count_types(descriptors: Iterable[Any]) -> None:
    for descriptor in descriptors:
        message = message_factory.GetMessageClass(descriptor)
        message.SerializeToString = counted("messages encoded", message.SerializeToString)
        message.ParseFromString = counted("messages decoded", message.ParseFromString)
        message.FromString = staticmethod(counted("messages decoded", message.FromString))
        _count_types(descriptor.nested_types)


def count_in_process() -> None:
    """Calls over the in-process channel, and the messages that cross it as bytes: requests and responses."""
    from clawdbot_servicekit.inprocess import InProcessChannel

    for name in CHANNEL_METHODS:
        setattr(InProcessChannel, name, _counted_method(getattr(InProcessChannel, name)))


def _counted_method(make: Callable[..., Any]) -> Callable[..., Any]:
    def method(
        channel: Any,
        path: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        **more: Any,
    ) -> Any:
        call = make(
            channel,
            path,
            counted("in-process messages", request_serializer),
            counted("in-process messages", response_deserializer),
            **more,
        )
        return counted("in-process calls", call)

    return method


def count_engine() -> None:
    """Messages written to the native engine, which has the caller's connection."""
    from pygrpc_native.aio import Server

    register = Server.add_registered_method_handlers

    def register_counted(server: Any, service: str, handlers: Any) -> None:
        def with_count(handler: Any) -> Any:
            encode = counted("engine writes", handler.response_serializer)
            return handler._replace(response_serializer=encode)

        register(server, service, {name: with_count(each) for name, each in handlers.items()})

    Server.add_registered_method_handlers = register_counted  # type: ignore[method-assign]


class _Answer(socketserver.BaseRequestHandler):
    """Sends the counts, with the process's context switches."""

    @override
    def handle(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        with _lock:
            counts = {**_counts, "context switches": usage.ru_nvcsw + usage.ru_nivcsw}
        self.request.sendall(json.dumps(counts).encode())


def main(module: str) -> None:
    """Counts, answers, and runs the module with the arguments that are left."""
    count_loop()  # before anything imports its queue
    count_sql()
    count_log()
    count_messages()
    count_in_process()
    count_engine()
    socketserver.TCPServer.allow_reuse_address = True  # the port is reserved for it
    answers = socketserver.TCPServer(("127.0.0.1", int(os.environ[PORT_VARIABLE])), _Answer)
    threading.Thread(target=answers.serve_forever, daemon=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    main(sys.argv[0])
