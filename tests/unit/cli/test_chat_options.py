"""Contradictory options are refused, and the API key is read from a file or the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from clawdbot_cli.chat.command import ChatOptions
from clawdbot_cli.client_settings import api_key
from clawdbot_cli.tls_options import TlsOptions
from clawdbot_servicekit.errors import StartupError


@pytest.mark.parametrize(
    "options",
    [
        ChatOptions(flow="chat", session="s-1"),
        ChatOptions(locale="zh", session="s-1"),
        ChatOptions(config=Path("a.yaml"), address="localhost"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(StartupError, match="not both"):
        options.check()


def test_the_arguments_that_reach_the_same_server_are_repeated():
    tls = TlsOptions(Path("ca.pem"), Path("me.pem"), Path("me.key"))
    options = ChatOptions(flow="chat", address="host:1", key_file=Path("key"), tls=tls)
    assert options.server_arguments() == [
        *("--addr", "host:1", "--key-file", "key"),
        *("--ca-file", "ca.pem", "--cert-file", "me.pem", "--cert-key-file", "me.key"),
    ]


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("CLAWDBOT_API_KEY", "cb_test_abc")
    assert api_key(None) == "cb_test_abc"


def test_a_key_file_overrides_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CLAWDBOT_API_KEY", "cb_test_abc")
    file = tmp_path / "key"
    file.write_text("cb_test_file\n")
    assert api_key(file) == "cb_test_file"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_without_a_key_none_is_sent(monkeypatch, value):
    monkeypatch.delenv("CLAWDBOT_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("CLAWDBOT_API_KEY", value)
    assert api_key(None) is None


@pytest.mark.parametrize("content", [b"", b"two words", b"line\nline", b"\xff\xfe", "schlüssel".encode()])
def test_a_file_without_a_valid_key_is_refused_and_its_content_not_shown(tmp_path, content):
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(StartupError) as caught:
        api_key(file)
    assert content.decode("latin-1").strip() not in str(caught.value) or not content
