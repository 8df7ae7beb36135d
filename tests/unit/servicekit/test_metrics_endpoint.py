"""The endpoint that serves the metrics: to whom, how many, and how long."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request

import pytest
from clawdbot_servicekit import metrics_endpoint as module
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.metrics import Metrics
from clawdbot_servicekit.metrics_endpoint import MetricsEndpoint
from clawdbot_servicekit.settings import SharedSettings
from pydantic import ValidationError
from structlog.testing import capture_logs

from tests.support.certificates import authority, certificate

KEY = "metrics-key-0123456789abcdef"


@pytest.fixture
def serving():
    """Opens endpoints; closes them at the end."""
    opened = []

    def open_endpoint(metrics_port=0, tls=None, default_port=None, **telemetry):
        kind = SharedSettings
        if default_port is not None:
            kind = type("Settings", (SharedSettings,), {"default_port": default_port - module.METRICS_OFFSET})
        settings = kind(telemetry={"metrics_port": metrics_port, **telemetry}, tls=tls or {})
        opened.append(MetricsEndpoint.open(Metrics().registry, settings))
        return opened[-1]

    yield open_endpoint
    for each in opened:
        each.close()


def get(port, key=None, scheme="http", context=None):
    request = urllib.request.Request(f"{scheme}://localhost:{port}/metrics")
    if key is not None:
        request.add_header("authorization", key)
    with urllib.request.urlopen(request, timeout=20, context=context) as answer:
        return answer.read().decode()


def test_it_serves_the_metrics_until_it_is_closed(serving):
    endpoint = serving()
    assert "process_resident_memory_bytes" in get(endpoint.port)
    endpoint.close()
    with pytest.raises(urllib.error.URLError):
        get(endpoint.port)


def test_half_open_connections_take_no_threads_and_keep_nobody_out(serving):
    endpoint, before = serving(), threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", endpoint.port)) for _ in range(200)]
    for each in idle:
        each.sendall(b"GET /metrics HTTP/1.1\r\n")
    assert "process_resident_memory_bytes" in get(endpoint.port)
    assert threading.active_count() <= before
    for each in idle:
        each.close()


def test_a_connection_has_a_timeout_even_if_it_sends_a_little_now_and_then(serving, monkeypatch):
    monkeypatch.setattr(module, "CONNECTION_TIMEOUT", 0.3)
    endpoint = serving()
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=20) as slow:
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < started + 20:
                slow.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() < started + 20


@pytest.mark.parametrize(
    "request_", [b"\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"x" * 20_000]
)
def test_what_is_no_get_gets_no_metrics(serving, request_):
    endpoint = serving()
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=20) as client:
        client.sendall(request_)
        try:
            answer = client.makefile("rb").read()
        except ConnectionResetError:
            answer = b""
    assert b"process_" not in answer


def test_with_a_key_nobody_else_reads_them(serving):
    endpoint = serving(metrics_key=KEY)
    assert "process_" in get(endpoint.port, f"Bearer {KEY}")
    for wrong in (None, "", "Bearer", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}x", KEY):
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(endpoint.port, wrong)
        assert caught.value.code == 401
        caught.value.close()


def test_it_uses_tls_with_the_servers_certificates(serving, tmp_path):
    issuer = authority("ca")
    trusted, _ = issuer.write(tmp_path, "ca")
    chain, key = certificate("server", issuer).write(tmp_path, "server")
    endpoint = serving(tls={"cert_file": chain, "key_file": key}, metrics_tls=True)
    context = ssl.create_default_context(cafile=trusted)
    assert "process_" in get(endpoint.port, scheme="https", context=context)
    with pytest.raises((urllib.error.URLError, OSError)):
        get(endpoint.port)


@pytest.mark.parametrize("telemetry", [{"metrics_tls": True}, {"metrics_key": "short"}])
def test_settings_that_would_not_protect_are_refused(telemetry):
    with pytest.raises(ValidationError):
        SharedSettings(telemetry=telemetry)


def test_a_taken_port_is_an_error_unless_it_is_the_default(serving):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=f"Cannot listen on the metrics port {port} on 127.0.0.1"):
            serving(port)
        with capture_logs() as log:
            endpoint = serving(port, default_port=port)
        assert endpoint.port != port
        assert log[0]["event"] == "metrics_port_taken"
