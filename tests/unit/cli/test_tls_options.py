"""Certificate files come from options or the environment; what is missing or unusable is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from clawdbot_cli.tls_options import TlsOptions
from clawdbot_servicekit.errors import StartupError

from tests.support.certificates import authority, certificate

ADDRESS = "127.0.0.1:8080"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("PEER_CA_FILE", "CERT_FILE", "KEY_FILE"):
        monkeypatch.delenv(f"CLAWDBOT_TLS__{name}", raising=False)


@pytest.fixture
def files(tmp_path):
    """Paths of an authority, and of a certificate and its key."""
    ca = authority("ca")
    return (ca.write(tmp_path, "ca")[0], *certificate("me", ca).write(tmp_path, "me"))


def paths(options: TlsOptions, address: str = ADDRESS) -> tuple[Path | None, ...] | None:
    read = options.certificates(address)
    return None if read is None else (read.authority, read.certificate, read.key)


def error(options: TlsOptions) -> str:
    with pytest.raises(StartupError) as caught:
        options.certificates(ADDRESS)
    return str(caught.value)


def test_without_files_there_is_no_tls():
    assert paths(TlsOptions()) is None


def test_the_options_name_the_files(files):
    assert paths(TlsOptions(*files)) == files
    assert paths(TlsOptions(files[0])) == (files[0], None, None)


def test_the_variables_are_those_of_the_suites_settings(files, monkeypatch):
    for name, file in zip(("PEER_CA_FILE", "CERT_FILE", "KEY_FILE"), files, strict=True):
        monkeypatch.setenv(f"CLAWDBOT_TLS__{name}", str(file))
    assert paths(TlsOptions()) == files


def test_an_option_overrides_its_variable(files, monkeypatch):
    monkeypatch.setenv("CLAWDBOT_TLS__PEER_CA_FILE", "/nowhere/ca.pem")
    monkeypatch.setenv("CLAWDBOT_TLS__CERT_FILE", "/nowhere/me.pem")
    monkeypatch.setenv("CLAWDBOT_TLS__KEY_FILE", str(files[2]))
    assert paths(TlsOptions(files[0], files[1])) == files


@pytest.mark.parametrize("value", ["", "null"])
def test_an_empty_variable_names_no_file(monkeypatch, value):
    monkeypatch.setenv("CLAWDBOT_TLS__PEER_CA_FILE", value)
    assert paths(TlsOptions()) is None


def test_the_servers_own_certificate_in_the_environment_does_not_turn_tls_on(files, monkeypatch):
    """As between services: they call each other over TLS only if peer_ca_file is set."""
    monkeypatch.setenv("CLAWDBOT_TLS__CERT_FILE", str(files[1]))
    monkeypatch.setenv("CLAWDBOT_TLS__KEY_FILE", str(files[2]))
    assert paths(TlsOptions()) is None
    monkeypatch.setenv("CLAWDBOT_TLS__KEY_FILE", "/only/the/server/can/read.key")
    assert paths(TlsOptions()) is None


def test_a_unix_socket_has_no_tls(files):
    assert paths(TlsOptions(*files), "unix:/run/clawdbot.sock") is None


def test_a_certificate_without_its_key_is_refused_and_vice_versa(files, monkeypatch):
    assert "--cert-key-file" in error(TlsOptions(files[0], files[1]))
    assert "give --cert-file" in error(TlsOptions(files[0], None, files[2]))
    monkeypatch.setenv("CLAWDBOT_TLS__CERT_FILE", str(files[1]))
    assert "CLAWDBOT_TLS__KEY_FILE" in error(TlsOptions(files[0]))


def test_a_certificate_without_an_authority_is_refused(files):
    assert "give --ca-file" in error(TlsOptions(None, *files[1:]))


@pytest.mark.parametrize("option", [0, 1, 2])
def test_a_file_that_cannot_be_read_is_named_with_its_option(files, tmp_path, option):
    name = ("--ca-file", "--cert-file", "--cert-key-file")[option]
    for unreadable, reason in [
        (tmp_path / "missing.pem", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ]:
        given = [*files[:option], unreadable, *files[option + 1 :]]
        assert error(TlsOptions(*given)) == f"{name} {unreadable}: cannot be read: {reason}."


def test_a_file_of_the_environment_that_cannot_be_read_is_named_with_its_variable(monkeypatch):
    monkeypatch.setenv("CLAWDBOT_TLS__PEER_CA_FILE", "/nowhere/ca.pem")
    assert error(TlsOptions()) == (
        "CLAWDBOT_TLS__PEER_CA_FILE: /nowhere/ca.pem: cannot be read: No such file or directory."
    )


def test_files_that_do_not_belong_together_are_refused(files, tmp_path):
    other = certificate("other", authority("other")).write(tmp_path, "other")
    empty = tmp_path / "empty.pem"
    empty.touch()
    assert "does not belong to the certificate" in error(TlsOptions(files[0], files[1], other[1]))
    assert "not a certificate chain" in error(TlsOptions(files[0], files[0], files[0]))
    assert "does not contain a certificate authority" in error(TlsOptions(empty))
