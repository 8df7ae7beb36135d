"""The commands that the banner proposes work with the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from clawdbot_cli.next_steps import grpcurl, next_steps
from clawdbot_servicekit.settings import SharedSettings

KEYS = {"keys": [{"id": "one", "key": "0123456789abcdef01234567"}]}
TLS = {"cert_file": "/c.pem", "key_file": "/k.pem"}
HERE = {"server": {"host": "127.0.0.1"}}
EVERYWHERE = {"server": {"host": "0.0.0.0"}}


def chat(port: int = 8080, **sections: object) -> str:
    return next_steps(SharedSettings(**sections), port)[0][0].partition(" chat ")[2]


def call(protos: Path | None = None, **sections: object) -> str:
    return grpcurl(SharedSettings(**sections), "127.0.0.1:8080", protos)


@pytest.mark.parametrize(
    ("port", "sections", "options"),
    [
        (8080, {}, "--flow book_table"),
        (9000, {}, "--flow book_table --addr 127.0.0.1:9000"),
        (8080, EVERYWHERE, "--flow book_table"),
        (9000, EVERYWHERE, "--flow book_table --addr 127.0.0.1:9000"),
        (8080, {"server": {"host": "::1"}}, "--flow book_table --addr '[::1]:8080'"),
        (8080, {"auth": KEYS}, "--flow book_table --key-file YOUR_KEY_FILE"),
        (8080, {"tls": TLS}, "--flow book_table --ca-file YOUR_CA_FILE"),
        (
            8080,
            {"tls": {**TLS, "client_ca_file": "/ca.pem"}},
            (
                "--flow book_table --ca-file YOUR_CA_FILE --cert-file YOUR_CERT_FILE "
                "--cert-key-file YOUR_CERT_KEY_FILE"
            ),
        ),
    ],
)
def test_the_chat_gets_the_options_that_it_needs(port, sections, options):
    assert chat(port, **sections) == options


def test_a_server_with_reflection_is_listed():
    assert call(**HERE) == "grpcurl -plaintext 127.0.0.1:8080 list"


def test_reflection_needs_no_key():
    assert call(auth=KEYS) == "grpcurl -plaintext 127.0.0.1:8080 list"


def test_a_server_without_reflection_is_called_with_its_proto_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = call(tmp_path / "protos", **EVERYWHERE, auth=KEYS)
    assert line == (
        "grpcurl -plaintext -H 'authorization: Bearer YOUR_KEY' -import-path ./protos "
        "-proto clawdbot/dialogue/v1/flow_service.proto 127.0.0.1:8080 "
        "clawdbot.dialogue.v1.FlowService/ListFlows"
    )


def test_without_proto_files_and_reflection_there_is_no_command():
    assert call(None, **EVERYWHERE) == ""


def test_with_tls_the_certificates_are_given():
    assert call(tls=TLS) == "grpcurl -cacert YOUR_CA_FILE 127.0.0.1:8080 list"
    mutual = call(tls={**TLS, "client_ca_file": "/ca.pem"})
    assert "-cert YOUR_CERT_FILE -key YOUR_CERT_KEY_FILE" in mutual


def test_from_the_source_tree_there_are_three_commands():
    assert len(next_steps(SharedSettings(), 8080)) == 3
