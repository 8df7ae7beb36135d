"""Options that make no sense are refused, and a key is taken from where it is safe."""

from __future__ import annotations

from pathlib import Path

import pytest
from clawdbot_cli.chat.command import Wishes
from clawdbot_cli.client_settings import api_key
from clawdbot_servicekit.errors import StartupError


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(flow="chat", session="s-1"),
        Wishes(locale="zh", session="s-1"),
        Wishes(config=Path("a.yaml"), address="localhost"),
    ],
)
def test_options_that_contradict_each_other_are_refused(wishes):
    with pytest.raises(StartupError, match="give one of them"):
        wishes.check()


def test_what_reaches_the_same_server_again_is_repeated():
    wishes = Wishes(flow="chat", address="host:1", key_file=Path("key"), ca_file=Path("ca.pem"))
    assert wishes.again() == ["--addr", "host:1", "--key-file", "key", "--ca-file", "ca.pem"]


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("CLAWDBOT_API_KEY", "cb_test_abc")
    assert api_key(None) == "cb_test_abc"


def test_a_key_file_beats_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CLAWDBOT_API_KEY", "cb_test_abc")
    file = tmp_path / "key"
    file.write_text("cb_test_file\n")
    assert api_key(file) == "cb_test_file"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_without_a_key_none_is_shown(monkeypatch, value):
    monkeypatch.delenv("CLAWDBOT_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("CLAWDBOT_API_KEY", value)
    assert api_key(None) is None


@pytest.mark.parametrize("content", [b"", b"two words", b"line\nline", b"\xff\xfe", "schlüssel".encode()])
def test_a_file_that_holds_no_key_is_refused_without_showing_it(tmp_path, content):
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(StartupError) as caught:
        api_key(file)
    assert content.decode("latin-1").strip() not in str(caught.value) or not content
