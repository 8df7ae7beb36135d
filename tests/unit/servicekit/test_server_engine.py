"""Which engine serves a configuration, and why."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires

import pytest
from clawdbot_servicekit import server_engine
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.server_engine import NATIVE_VERSION, choose_engine
from clawdbot_servicekit.settings import SharedSettings


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """This platform has the native engine, whichever it is."""
    monkeypatch.setattr(server_engine, "version", lambda name: NATIVE_VERSION)
    monkeypatch.setattr(server_engine, "import_module", lambda name: None)


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


def raises(error):
    def call(name):
        raise error

    return call


@pytest.mark.parametrize(
    ("replaced", "by", "reason"),
    [
        ("version", raises(PackageNotFoundError()), "the package pygrpc-native is not installed"),
        ("version", lambda name: "0.6.0", "pygrpc-native 0.6.0 is installed instead of"),
        (
            "import_module",
            raises(ImportError("GLIBC_2.99 not found")),
            "cannot be loaded (GLIBC_2.99 not found)",
        ),
    ],
)
def test_without_the_package_in_its_version_there_is_no_native_engine(monkeypatch, replaced, by, reason):
    monkeypatch.setattr(server_engine, replaced, by)
    engine = chosen()
    assert (engine.name, reason in engine.reason) == ("grpcio", True)
    with pytest.raises(StartupError, match=re.escape(reason)):
        chosen({"engine": "native"})
    assert chosen({"engine": "grpcio"}).name == "grpcio"


def test_the_version_that_is_needed_is_the_one_that_is_declared():
    declared = [
        re.match(r"pygrpc-native==(\S+)", each)
        for each in requires("clawdbot-servicekit")
        if each.startswith("pygrpc-native")
    ]
    assert {each[1] for each in declared} == {NATIVE_VERSION}


def test_what_is_configured_is_taken():
    assert (chosen({"engine": "grpcio"}).name, chosen({"engine": "native"}).name) == ("grpcio", "native")
