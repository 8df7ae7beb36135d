"""docs/model_gateway.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot_model_gateway.api.error_table import error_table
from clawdbot_model_gateway.backend_config import lineup_of
from clawdbot_model_gateway.core import errors
from clawdbot_model_gateway.provider_registry import installed, make_provider
from clawdbot_model_gateway.providers.script import FAULTS
from clawdbot_model_gateway.settings import BackendSettings, GatewaySettings, HttpSettings
from clawdbot_servicekit.settings import load

PAGE = (Path(__file__).parents[3] / "docs" / "model_gateway.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
CONFIGURATIONS = [block for block in BLOCKS if block.startswith("model")]
SCRIPTS = [block for block in BLOCKS if block.startswith("replies")]


@pytest.mark.parametrize("block", CONFIGURATIONS)
def test_every_configuration_on_the_page_is_one(block, tmp_path):
    (tmp_path / "key").write_text("sk-0123456789")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    path = tmp_path / "clawdbot.yaml"
    path.write_text(block.replace("/run/secrets/openai", "key"))
    keys = dict.fromkeys(
        ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "AZURE_KEY", "MODEL_SERVER_KEY"), "k" * 20
    )
    settings = load(GatewaySettings, path, keys)
    lineup = lineup_of(settings)
    for name, backend in lineup.backends.items():
        make_provider(lineup.places[name], backend, installed())
    assert {"chat", "default"} <= set(lineup.aliases)


@pytest.mark.parametrize("block", SCRIPTS)
def test_every_script_on_the_page_is_one(block):
    replies = yaml.safe_load(block)["replies"]
    make_provider("model", BackendSettings(provider="scripted", replies=replies), installed())


def test_there_were_some_to_look_at():
    assert len(CONFIGURATIONS) >= 4
    assert SCRIPTS


def every(kind):
    for each in kind.__subclasses__():
        yield each
        yield from every(each)


@pytest.mark.parametrize("kind", sorted(every(errors.ModelFailure), key=lambda each: each.reason))
def test_each_failure_is_on_the_page_with_its_status(kind):
    told = error_table().describe(kind("it broke"))
    (row,) = re.findall(rf"^\| {kind.reason} \| (\w+) \| (.*) \|$", PAGE, re.MULTILINE)
    assert row[0] == told.code.name
    assert ("RetryInfo" in row[1].replace("no RetryInfo", "")) == kind.passing
    assert kind.reason == told.reason


def test_each_finish_reason_that_can_come_is_on_the_page():
    can_come = {
        "STOP", "LENGTH", "CONTEXT_FULL", "TOOL_CALLS", "CONTENT_FILTER", "REFUSAL", "PAUSED", "MODEL_ERROR",
        "CANCELLED", "TRUNCATED", "UNKNOWN",
    }  # fmt: skip
    assert can_come == set(re.findall(r"^\| ([A-Z_]+) \| [^|]+ \|$", PAGE, re.MULTILINE))
    assert can_come <= {
        FinishReason.Name(each).removeprefix("FINISH_REASON_") for each in FinishReason.values()
    }


def test_each_key_and_fault_is_on_the_page():
    for key in (*BackendSettings.model_fields, *FAULTS, "hang", "cut"):
        assert f"`{key}`" in PAGE or f"`{key}." in PAGE, key
    for key in HttpSettings.model_fields:
        assert f"`http.{key}`" in PAGE
    for name, point in installed().items():
        assert f"### {name}" in PAGE
        for key in point.load().options.model_fields:
            assert re.search(rf"`{key}:?`", PAGE), key
