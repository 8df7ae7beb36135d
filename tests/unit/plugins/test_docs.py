"""docs/plugins.md is correct: its code runs, and its tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from clawdbot_plugins.api.error_table import error_table
from clawdbot_plugins.builtin.audit_log.files import AuditFiles
from clawdbot_plugins.builtin.calculator import MAX_DEPTH, MAX_EXPRESSION_LENGTH
from clawdbot_plugins.builtin.rate_limiter.settings import RateLimiterSettings, parse_limits
from clawdbot_plugins.builtin.tables.settings import TablesSettings
from clawdbot_plugins.discovery import installed_plugins, load_enabled_plugins
from clawdbot_plugins.settings import PluginsSettings
from clawdbot_servicekit.error_table import SHARED_RULES

from tests.support.plugin_core import core_of
from tests.support.plugin_service import serving

TEXT = (Path(__file__).parents[3] / "docs" / "plugins.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def rows(heading):
    """The rows of the table with this heading, as lists of cells."""
    table = TEXT.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.fixture
def example():
    """The namespace of the example plugin and its test."""
    _, plugin, test = blocks("python")
    names: dict[str, object] = {"__name__": "dice_plugin"}
    exec(compile(plugin, "docs/plugins.md", "exec"), names)
    exec(compile(test, "docs/plugins.md", "exec"), names)
    return names


async def test_the_examples_own_test_passes(example):
    await example["test_rolls_the_requested_number_of_dice"]()


async def test_the_example_runs_in_the_service(example, tmp_path):
    async with serving(tmp_path, example["plugin"]) as served:
        client = served.client
        *progress, last = await client.events("dice.roll", dice=2, sides=1)
        assert [each.progress.fraction for each in progress] in ([0.5, 1.0], [1.0])
        assert last.result.structured["total"] == 2
        assert (await client.result("dice.roll", dice=200)).content[
            0
        ].text == "The cup holds at most 100 dice."
        error = await client.error("dice.roll", "", {"flow": "exam"}, dice=1)
        assert (error.code, error.reason) == ("PERMISSION_DENIED", "NO_DICE_HERE")


async def test_the_example_runs_in_the_core_too(example, tmp_path):
    async with core_of(tmp_path, example["plugin"]) as core:
        assert (await core.outcome("dice.roll", dice=3, sides=1)).structured == {
            "faces": [1, 1, 1],
            "total": 3,
        }


def test_the_verification_example_works(tmp_path, capsys):
    (verification, *_) = blocks("python")
    log = AuditFiles(tmp_path)
    head = log.append(0, {"event": "turn_done"})
    log.close()
    exec(verification, {"folder": tmp_path})
    assert capsys.readouterr().out == f"1 lines verified; the last is 1, {head.hash}\n"
    (path,) = tmp_path.glob("audit-*")
    path.write_bytes(path.read_bytes().replace(b"turn", b"tour"))
    exec(verification, {"folder": tmp_path})
    assert capsys.readouterr().out == f"{path}:1: The line was changed after it was written.\n"


def test_the_configuration_example_works():
    text, _ = blocks("yaml")
    settings = PluginsSettings.model_validate(yaml.safe_load(text))
    enabled = {
        each.definition.name for each in load_enabled_plugins(settings.plugin_configs(), installed_plugins())
    }
    assert enabled == {"audit_log", "rate_limiter", "calculator", "clock"}


def test_every_reason_is_documented():
    listed = {
        reason for row in rows("reason | status | meaning") for reason in re.findall(r"`([A-Z_]+)`", row[0])
    }
    own = {rule.reason for kind, rule in error_table()._rules.items() if kind not in SHARED_RULES}
    assert own - {"{reason}"} <= listed
    assert listed - own == {"INVALID_REQUEST", "RATE_LIMITED"}


def test_every_setting_of_the_service_is_documented_with_its_default():
    listed = {row[0].strip("`"): yaml.safe_load(row[1].strip("`")) for row in rows("key | default |")}
    settings = PluginsSettings()
    for name, section in (("tools", settings.tools), ("hooks", settings.hooks)):
        for key, value in section:
            documented = listed.pop(f"{name}.{key}")
            assert getattr(type(section).model_validate({key: documented}), key) == value
    assert listed == {}


def test_every_setting_of_tables_is_documented_with_its_default():
    listed = {}
    for names, default, _ in rows("setting of `tables` | default |"):
        values = re.findall(r"`([^`]+)`", default)
        listed |= dict(zip(re.findall(r"`(\w+)`", names), values, strict=True))
    read = {key: yaml.safe_load(value) if ":" not in value else value for key, value in listed.items()}
    assert TablesSettings.model_validate(read) == TablesSettings()
    assert read.keys() == TablesSettings.model_fields.keys()


def test_every_setting_of_the_rate_limiter_is_documented_with_its_default():
    listed = {row[0].strip("`"): row[1].strip("`") for row in rows("setting of `rate_limiter` | default |")}
    settings = RateLimiterSettings()
    assert listed.keys() == RateLimiterSettings.model_fields.keys()
    assert listed.pop("per") == settings.per
    assert {key: parse_limits(value) for key, value in listed.items()} == {
        key: getattr(settings, key) for key in listed
    }


def test_the_limits_of_the_calculator_are_documented():
    assert f"{MAX_EXPRESSION_LENGTH} characters, {MAX_DEPTH} levels" in TEXT
