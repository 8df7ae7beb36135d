"""The dialogue service's settings and start, and the messages if they fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from clawdbot_dialogue.flow_files import load_flows
from clawdbot_dialogue.settings import DialogueSettings
from clawdbot_dialogue.wiring import build
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.peers import NetworkPeers
from clawdbot_servicekit.settings import load
from pydantic import ValidationError

GOOD = """flow: greet
version: 1
description: Say hello
states:
  hello: {say: Hello., end: true}
"""


def settings(state, **sections) -> DialogueSettings:
    return DialogueSettings.model_validate({"state_dir": state, **sections})


async def built(state, **sections):
    parsed = settings(state, **sections)
    return build(parsed, NetworkPeers(parsed))


def test_flows_come_from_folders_and_files_and_the_shipped_ones(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "greet.yml").write_text(GOOD)
    (tmp_path / "more" / "notes.txt").write_text("not a flow")
    single = tmp_path / "bye.yaml"
    single.write_text(GOOD.replace("greet", "bye"))
    names = {flow.name for flow in load_flows([tmp_path / "more", single]).list()}
    assert {"greet", "bye", "book_table"} <= names


def test_a_flow_with_an_error_stops_the_start_with_its_position_and_a_caret(tmp_path):
    path = tmp_path / "greet.yaml"
    path.write_text(GOOD.replace("end: true", "ned: true"))
    with pytest.raises(StartupError) as caught:
        load_flows([tmp_path])
    place, line, caret, *_ = str(caught.value).splitlines()
    assert place.startswith(f"{path}:5:")
    assert "ned" in line
    assert line.index("ned") == caret.index("^")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"\xff\xfe", "UTF-8"), (b"", "cannot be used"), (b"x" * 17_000_000, "larger than")],
)
def test_a_file_that_is_not_a_flow_stops_the_start_with_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "greet.yaml"
    path.write_bytes(content)
    with pytest.raises(StartupError, match=sentence) as caught:
        load_flows([path])
    assert str(path) in str(caught.value)


def test_a_missing_path_stops_the_start(tmp_path):
    with pytest.raises(StartupError, match="nowhere"):
        load_flows([tmp_path / "nowhere"])


def test_two_sources_for_one_version_stop_the_start_and_are_both_named(tmp_path):
    one, two = tmp_path / "a.yaml", tmp_path / "b.yaml"
    one.write_text(GOOD)
    two.write_text(GOOD.replace("Hello", "Goodbye"))
    with pytest.raises(StartupError) as caught:
        load_flows([tmp_path])
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)
    two.write_text(GOOD)
    load_flows([tmp_path])


async def test_memory_is_for_one_worker_only(tmp_path):
    with pytest.raises(StartupError, match="4 workers"):
        await built(tmp_path, stores={"dialogue": "memory"}, server={"workers": 4})


async def test_sessions_are_stored_under_the_state_directory_or_where_the_settings_say(tmp_path):
    usual = await built(tmp_path)
    assert usual.describe()["store"] == (f"SQLite, {tmp_path / 'dialogue' / 'sessions.db'}",)
    elsewhere = await built(tmp_path, stores={"dialogue": str(tmp_path / "mine.db")})
    assert elsewhere.describe()["store"] == (f"SQLite, {tmp_path / 'mine.db'}",)
    nowhere = await built(tmp_path, stores={"dialogue": "memory"})
    assert nowhere.describe()["store"] == ("memory (nothing is kept)",)
    assert "book_table" in nowhere.describe()["flows"]


def test_one_path_of_flows_needs_no_list_and_is_relative_to_the_configuration(tmp_path):
    path = tmp_path / "clawdbot.yaml"
    path.write_text("flows: ./mine\nstores: {dialogue: sessions.db}\n")
    loaded = load(DialogueSettings, path, {})
    assert loaded.flows == (tmp_path / "mine",)
    assert loaded.stores.dialogue == tmp_path / "sessions.db"


@pytest.mark.parametrize(
    "sections",
    [
        {"stores": {"dialogue": "postgresql://somewhere/db"}},
        {"dialogue": {"time_zone": "Mars/Olympus"}},
        {"dialogue": {"inbox": 0}},
        {"dialogue": {"turn_timeout": "0s"}},
        {"dialogue": {"unknown": 1}},
    ],
)
def test_invalid_settings_are_refused(tmp_path, sections):
    with pytest.raises(ValidationError):
        settings(tmp_path, **sections)


def test_a_device_is_not_a_flow():
    with pytest.raises(StartupError, match="/dev/zero cannot be read: it is not a regular file"):
        load_flows([Path("/dev/zero")])
