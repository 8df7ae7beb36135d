"""docs/operations.md lists every setting, reason, metric and probe, so that it cannot become outdated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clawdbot_plugin_client.hooks import HOOK_RULES
from clawdbot_servicekit.error_table import INTERNAL_REASON, PEER_RULES, SHARED_RULES
from clawdbot_servicekit.health import LIVENESS, READINESS
from clawdbot_servicekit.metrics import Metrics, WorkerMetrics
from clawdbot_servicekit.settings.shared import ApiKeySettings, SharedSettings
from clawdbot_servicekit.settings.values import Section, seconds, size

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")


def section(title):
    """The text under a heading, up to the next one."""
    return re.split(rf"^#+ {title}$", PAGE, flags=re.MULTILINE)[1].split("\n#")[0]


@pytest.mark.parametrize("name", [name for name in SharedSettings.model_fields if name != "state_dir"])
def test_every_shared_setting_is_listed_in_its_section(name):
    kind = SharedSettings.model_fields[name].annotation
    assert issubclass(kind, Section)
    missing = [key for key in kind.model_fields if f"`{key}`" not in section(name)]
    assert missing == []


def test_every_part_of_a_key_is_listed():
    assert [key for key in ApiKeySettings.model_fields if f"`{key}`" not in section("auth")] == []


def test_the_defaults_are_the_ones_in_the_code():
    listed = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+?)`? \|", section("server"), flags=re.MULTILINE))
    server = SharedSettings().server
    plain = {"host", "engine", "workers", "port", "max_concurrent_calls"}
    for name, text in listed.items():
        if name not in plain and text.strip():
            value = size(text) if name in {"max_message", "max_metadata"} else seconds(text)
            assert value == getattr(server, name), name
        elif text.strip():
            assert text == str(getattr(server, name)), name


def test_every_reason_is_listed():
    rules = [*SHARED_RULES.values(), *PEER_RULES.values(), *HOOK_RULES.values()]
    reasons = {INTERNAL_REASON, *(rule.reason for rule in rules if "{" not in rule.reason)}
    assert {reason for reason in reasons if f"`{reason}`" not in section("Limits and errors")} == set()


def test_every_metric_is_listed(tmp_path):
    metrics = Metrics()
    names = {
        f"{each.name}_total" if each.type == "counter" else each.name for each in metrics.registry.collect()
    }
    names = {name for name in names if not name.startswith("process_")}
    names |= {
        f"{each.name}_total" for each in WorkerMetrics(tmp_path).registry.collect() if "restarts" in each.name
    }
    assert {name for name in names if f"`{name}`" not in section("Metrics")} == set()


def test_the_names_for_probes_are_listed():
    for name in (LIVENESS, READINESS):
        assert f"`{name}`" in section("Health")
