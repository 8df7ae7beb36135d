"""Which engine serves a configuration, and why."""

from __future__ import annotations

import pytest
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.server_engine import choose_engine
from clawdbot_servicekit.settings import SharedSettings


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """This platform has the native engine, whichever it is."""
    monkeypatch.setattr("clawdbot_servicekit.server_engine.find_spec", lambda name: name)


class Settings(SharedSettings):
    default_port = 8099


def chosen(server=None, **sections):
    return choose_engine(Settings.model_validate({"server": server or {}, **sections}))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_native_engine_serves_this_machine(host):
    assert chosen({"host": host}).name == "native"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_grpcio_serves_other_machines_unless_the_native_engine_is_configured(host):
    engine = chosen({"host": host})
    assert (engine.name, "other machines" in engine.reason) == ("grpcio", True)
    assert chosen({"host": host, "engine": "native"}).name == "native"


LACKING = [
    ({"max_connection_age": "20s"}, {}, "server.max_connection_age"),
    ({"socket": "/tmp/clawdbot.sock"}, {}, "server.socket"),
    ({}, {"tls": {"cert_file": "/tmp/a.pem", "key_file": "/tmp/b.pem"}}, "tls"),
]


@pytest.mark.parametrize(("server", "sections", "named"), LACKING)
def test_what_the_native_engine_lacks_selects_grpcio_or_is_an_error(server, sections, named):
    engine = chosen(server, **sections)
    assert (engine.name, named in engine.reason) == ("grpcio", True)
    with pytest.raises(StartupError, match=named):
        chosen({**server, "engine": "native"}, **sections)


def test_connections_that_never_age_need_no_grpcio():
    assert chosen({"max_connection_age": 0}).name == "native"


def test_a_platform_without_the_package_gets_grpcio(monkeypatch):
    monkeypatch.setattr("clawdbot_servicekit.server_engine.find_spec", lambda name: None)
    assert chosen().name == "grpcio"
    with pytest.raises(StartupError, match="pygrpc-native"):
        chosen({"engine": "native"})


def test_what_is_configured_is_taken():
    assert (chosen({"engine": "grpcio"}).name, chosen({"engine": "native"}).name) == ("grpcio", "native")
