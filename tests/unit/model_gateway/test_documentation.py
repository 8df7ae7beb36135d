"""docs/model_gateway.md agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot_model_gateway.api.error_table import error_table
from clawdbot_model_gateway.backend_config import plan_backends
from clawdbot_model_gateway.core import errors
from clawdbot_model_gateway.provider_registry import installed_providers, make_provider
from clawdbot_model_gateway.providers.script import SCRIPTED_ERRORS
from clawdbot_model_gateway.settings import BackendSettings, GatewaySettings, HttpSettings
from clawdbot_servicekit.settings import load

PAGE = (Path(__file__).parents[3] / "docs" / "model_gateway.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
CONFIGURATIONS = [block for block in BLOCKS if block.startswith("model")]
SECTIONS = [block for block in BLOCKS if block.startswith(("gateway", "limits"))]
SCRIPTS = [block for block in BLOCKS if block.startswith("replies")]


@pytest.mark.parametrize("block", CONFIGURATIONS)
def test_each_configuration_on_the_page_is_valid(block, tmp_path):
    (tmp_path / "key").write_text("sk-0123456789")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    path = tmp_path / "clawdbot.yaml"
    path.write_text(block.replace("/run/secrets/openai", "key"))
    keys = dict.fromkeys(
        ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "AZURE_KEY", "MODEL_SERVER_KEY"), "k" * 20
    )
    settings = load(GatewaySettings, path, keys)
    plan = plan_backends(settings)
    for name, backend in plan.backends.items():
        make_provider(plan.config_paths[name], backend, installed_providers())
    assert {"chat", "default"} <= set(plan.aliases)


@pytest.mark.parametrize("block", SECTIONS)
def test_each_other_section_on_the_page_is_valid(block, tmp_path):
    path = tmp_path / "clawdbot.yaml"
    path.write_text(block)
    load(GatewaySettings, path, {})


@pytest.mark.parametrize("block", SCRIPTS)
def test_each_script_on_the_page_is_valid(block):
    replies = yaml.safe_load(block)["replies"]
    make_provider("model", BackendSettings(provider="scripted", replies=replies), installed_providers())


def test_the_page_has_configurations_and_scripts():
    assert len(CONFIGURATIONS) >= 4
    assert SECTIONS
    assert SCRIPTS


def subclasses(kind):
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


@pytest.mark.parametrize("kind", sorted(subclasses(errors.ModelError), key=lambda each: each.reason))
def test_each_error_is_on_the_page_with_its_status(kind):
    description = error_table().describe(kind("it broke"))
    (row,) = re.findall(rf"^\| {kind.reason} \| (\w+) \| (.*) \|$", PAGE, re.MULTILINE)
    assert row[0] == description.code.name
    assert ("RetryInfo" in row[1].replace("no RetryInfo", "")) == kind.transient
    assert kind.reason == description.reason


def test_each_possible_finish_reason_is_on_the_page():
    possible = {
        "STOP", "LENGTH", "CONTEXT_FULL", "TOOL_CALLS", "CONTENT_FILTER", "REFUSAL", "PAUSED", "MODEL_ERROR",
        "CANCELLED", "TRUNCATED", "UNKNOWN",
    }  # fmt: skip
    assert possible == set(re.findall(r"^\| ([A-Z_]+) \| [^|]+ \|$", PAGE, re.MULTILINE))
    assert possible <= {
        FinishReason.Name(each).removeprefix("FINISH_REASON_") for each in FinishReason.values()
    }


def test_each_key_and_fault_is_on_the_page():
    for key in (*BackendSettings.model_fields, *SCRIPTED_ERRORS, "hang", "cut"):
        assert f"`{key}`" in PAGE or f"`{key}." in PAGE, key
    for key in HttpSettings.model_fields:
        assert f"`http.{key}`" in PAGE
    for name, point in installed_providers().items():
        assert f"### {name}" in PAGE
        for key in point.load().options.model_fields:
            assert re.search(rf"`{key}:?`", PAGE), key
