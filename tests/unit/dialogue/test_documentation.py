"""docs/dialogue.md lists every setting with its default, and every error reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clawdbot_dialogue.api.error_table import error_table
from clawdbot_dialogue.core import errors
from clawdbot_dialogue.settings import DialogueSection
from clawdbot_servicekit.settings.values import seconds, size

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "dialogue.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `dialogue\.(\w+)` \| `?([^`|]+?)`? \|", PAGE, re.MULTILINE))


def test_every_setting_is_in_the_table_and_no_other():
    assert set(ROWS) == set(DialogueSection.model_fields)


@pytest.mark.parametrize("name", sorted(set(ROWS) - {"time_zone"}))
def test_the_defaults_are_those_of_the_code(name):
    default = getattr(DialogueSection(), name)
    read = seconds(ROWS[name]) if ROWS[name].endswith("s") else size(ROWS[name])
    assert read == default


def test_every_error_of_the_service_is_documented():
    table = error_table()
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, errors.DialogueError)
        and kind is not errors.DialogueError
    ]
    assert kinds
    for kind in kinds:
        rule = table._rules[kind]
        assert f"`{rule.reason}`" in PAGE, rule.reason
        assert f"`{rule.code.name}`" in PAGE


def test_every_reason_of_a_failed_turn_is_documented():
    source = Path(errors.__file__).parent
    reasons = {
        reason
        for path in source.rglob("*.py")
        for reason in re.findall(r'(?:reason=|fail\()"([A-Z_]+)"', path.read_text(encoding="utf-8"))
    }
    assert {"TURN_TIMEOUT", "FLOW_LOOP", "INTERNAL"} <= reasons
    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in PAGE] == []
