"""`clawdbot flow new` writes what is clean and passes; `clawdbot flow schema` prints what is published."""

from __future__ import annotations

import json

import pytest
from clawdbot_cli.flow.scaffold import locales
from clawdbot_dialogue.core.flow.parse.json_schema import published_schema
from clawdbot_dialogue.core.language.language_pack import LOCALES
from clawdbot_dialogue.flow_files import load_flows


@pytest.mark.parametrize("locale", locales())
def test_a_new_flow_is_clean_and_its_conversations_pass_and_cover_it(desk, locale):
    assert desk.run("flow", "new", "help_desk", "--dir", "flows", "--locale", locale).code == 0
    assert desk.run("flow", "lint", "--strict", "flows").code == 0
    ran = desk.run("flow", "test", "flows", "--min-coverage", "100")
    assert ran.code == 0, ran.out


def test_every_language_that_flows_speak_has_a_beginning():
    assert locales() == sorted(LOCALES)


def test_it_says_what_to_do_next(desk):
    ran = desk.run("flow", "new", "help_desk")
    assert "Wrote ./help_desk.yaml and ./help_desk.test.yaml." in ran.out
    for command in ("flow lint", "flow test", "flow watch", "flow schema", "up"):
        assert command in ran.out


def test_a_new_flow_bears_its_name(desk):
    desk.run("flow", "new", "help_desk")
    assert [flow.name for flow in load_flows([desk.folder]).list()].count("help_desk") == 1


@pytest.mark.parametrize("there", ["help_desk.yaml", "help_desk.test.yaml"])
def test_nothing_is_written_over(desk, there):
    desk.put(there, "mine")
    ran = desk.run("flow", "new", "help_desk")
    assert ran.code == 2
    assert f"{there}: there already; nothing was written." in ran.err
    assert [path.name for path in desk.folder.iterdir()] == [there]
    assert (desk.folder / there).read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("Help Desk",), "lower case letters"),
        (("../up",), "lower case letters"),
        (("x", "--locale", "tlh"), "no beginning in tlh"),
    ],
)
def test_what_cannot_be_begun_is_exit_code_2_with_a_sentence(desk, arguments, says):
    ran = desk.run("flow", "new", *arguments)
    assert ran.code == 2
    assert says in ran.err
    assert list(desk.folder.iterdir()) == []


def test_the_schema_is_the_one_that_is_published(desk):
    assert desk.run("flow", "schema").out == published_schema()
    assert desk.run("flow", "schema", "-o", "s.json").code == 0
    assert json.loads((desk.folder / "s.json").read_text())["$id"] == "flow.v1.schema.json"


def test_a_schema_that_cannot_be_written_is_exit_code_2(desk):
    ran = desk.run("flow", "schema", "-o", "no/where/s.json")
    assert ran.code == 2
    assert "cannot be written" in ran.err
