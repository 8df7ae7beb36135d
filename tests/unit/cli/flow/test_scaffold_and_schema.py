"""`clawdbot flow new` writes a flow without warnings and tests that pass; `flow schema` prints the schema."""

from __future__ import annotations

import json

import pytest
from clawdbot_cli.flow.scaffold import locales
from clawdbot_dialogue.flow_files import load_flows
from clawdbot_dialogue.flow_toolkit import flow_schema, installed_languages


@pytest.mark.parametrize("locale", locales())
def test_a_new_flow_has_no_warnings_and_its_tests_pass_and_cover_it(cli, locale):
    assert cli.run("flow", "new", "help_desk", "--dir", "flows", "--locale", locale).code == 0
    assert cli.run("flow", "lint", "--strict", "flows").code == 0
    result = cli.run("flow", "test", "flows", "--min-coverage", "100")
    assert result.code == 0, result.out


def test_every_locale_of_flows_has_a_template():
    assert locales() == sorted(installed_languages())


def test_it_prints_what_to_do_next(cli):
    result = cli.run("flow", "new", "help_desk")
    assert "Wrote ./help_desk.yaml and ./help_desk.test.yaml." in result.out
    for command in ("flow lint", "flow test", "flow watch", "flow schema", "up"):
        assert command in result.out


def test_a_new_flow_has_the_given_name(cli):
    cli.run("flow", "new", "help_desk")
    assert [flow.name for flow in load_flows([cli.folder]).list()].count("help_desk") == 1


@pytest.mark.parametrize("existing", ["help_desk.yaml", "help_desk.test.yaml"])
def test_an_existing_file_is_not_overwritten(cli, existing):
    cli.put(existing, "mine")
    result = cli.run("flow", "new", "help_desk")
    assert result.code == 2
    assert f"{existing}: already exists; nothing was written." in result.err
    assert [path.name for path in cli.folder.iterdir()] == [existing]
    assert (cli.folder / existing).read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Help Desk",), "lower case letters"),
        (("../up",), "lower case letters"),
        (("x", "--locale", "tlh"), "no template for the locale tlh"),
    ],
)
def test_invalid_arguments_are_exit_code_2_with_a_sentence(cli, arguments, message):
    result = cli.run("flow", "new", *arguments)
    assert result.code == 2
    assert message in result.err
    assert list(cli.folder.iterdir()) == []


def test_the_schema_is_the_published_one(cli):
    assert cli.run("flow", "schema").out == flow_schema()
    assert cli.run("flow", "schema", "-o", "s.json").code == 0
    assert json.loads((cli.folder / "s.json").read_text())["$id"] == "flow.v1.schema.json"


def test_a_schema_that_cannot_be_written_is_exit_code_2(cli):
    result = cli.run("flow", "schema", "-o", "no/where/s.json")
    assert result.code == 2
    assert "cannot be written" in result.err
