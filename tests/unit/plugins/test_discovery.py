"""Which plugins are enabled, with which settings, and the messages for mistakes."""

from __future__ import annotations

import pytest
from clawdbot_plugin_sdk import Plugin
from clawdbot_plugins.discovery import DEFAULT_PLUGINS, installed_plugins, load_enabled_plugins
from clawdbot_plugins.settings import PluginsSettings
from clawdbot_plugins.wiring import build
from clawdbot_servicekit.errors import StartupError
from pydantic import BaseModel, SecretStr, ValidationError

from tests.support.plugin_service import Installed, entry_points, plugins_settings


class Depth(BaseModel):
    model_config = {"extra": "forbid"}
    metres: int = 1


class DivingSettings(BaseModel):
    depth: Depth = Depth()
    token: SecretStr = SecretStr("")


DIVING = Plugin("diving", version="1.0.0", settings=DivingSettings)


def enabled(*entries, **available):
    settings = PluginsSettings.model_validate({"plugins": entries})
    return {
        each.definition.name: each.settings
        for each in load_enabled_plugins(settings.plugin_configs(), {**entry_points(DIVING), **available})
    }


def test_the_harmless_plugins_are_enabled_by_default():
    assert set(enabled()) == set(DEFAULT_PLUGINS) == {"calculator", "clock", "tables"}


def test_listed_plugins_are_enabled_in_addition():
    assert set(enabled("rate_limiter", "audit_log")) == {*DEFAULT_PLUGINS, "rate_limiter", "audit_log"}


def test_a_plugin_can_be_disabled():
    assert set(enabled({"tables": False}, {"clock": None})) == {"calculator", "clock"}


def test_settings_are_validated():
    assert enabled({"diving": {"depth": {"metres": "30"}}})["diving"].depth.metres == 30
    assert enabled("diving")["diving"] == DivingSettings()


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("rate_limitter", "plugins: there is no plugin rate_limitter; did you mean rate_limiter?"),
        ({"diving": {"dept": {}}}, "plugins: unknown key diving.dept; did you mean depth?"),
        (
            {"diving": {"depth": {"metres": "deep"}}},
            "plugins: diving.depth.metres: expected a whole number.",
        ),
        ({"diving": {"depth": {"feet": 1}}}, "plugins: diving.depth.feet: is not a known key."),
        ({"clock": {"zone": "UTC"}}, "plugins: clock has no settings. Remove them."),
        (
            {"rate_limiter": {"turn": "1/minute"}},
            "plugins: unknown key rate_limiter.turn; did you mean turns?",
        ),
        (
            {"rate_limiter": {"turns": "sixty"}},
            "plugins: rate_limiter.turns: expected limits such as",
        ),
        ({"tables": {"opens": "23:00"}}, "plugins: tables: closes must be later than opens"),
    ],
)
def test_a_mistake_is_reported_with_its_key_and_the_nearest_name(entry, sentence):
    with pytest.raises(StartupError) as caught:
        enabled(entry)
    assert sentence in str(caught.value)


def test_an_unknown_name_without_a_near_one_lists_all_names():
    with pytest.raises(
        StartupError, match="available: audit_log, calculator, clock, diving, rate_limiter, tables"
    ):
        enabled("zzzzz")


def test_an_invalid_value_is_never_quoted():
    """It may be a secret in the wrong place."""
    with pytest.raises(StartupError) as caught:
        enabled({"diving": {"token": ["hunter2"], "depth": "hunter2"}})
    assert "hunter2" not in str(caught.value)


def test_a_plugin_that_is_listed_twice_is_refused():
    with pytest.raises(ValidationError, match="listed twice"):
        PluginsSettings.model_validate({"plugins": ["clock", {"clock": {}}]})


def test_a_plugin_whose_code_cannot_be_loaded_says_where_it_is():
    class Broken(Installed):
        def load(self):
            raise ImportError("no module named teeth")

    with pytest.raises(
        StartupError, match="broken cannot be loaded from tests:plugin: ImportError: no module"
    ):
        enabled("broken", broken=Broken("broken", None))


def test_a_disabled_plugin_is_not_loaded():
    class Broken(Installed):
        def load(self):
            raise AssertionError("loaded")

    assert "broken" not in enabled({"broken": False}, broken=Broken("broken", None))


def test_an_entry_point_may_be_a_function_that_returns_the_plugin():
    assert "made" in enabled("made", made=Installed("made", lambda: Plugin("made", version="1.0")))


def test_an_entry_point_that_is_not_a_plugin_is_refused():
    with pytest.raises(StartupError, match="must be a Plugin or a function"):
        enabled("odd", odd=Installed("odd", lambda: 1))


def test_the_entry_point_must_have_the_plugins_name():
    with pytest.raises(StartupError, match="has the entry point alias"):
        enabled("alias", alias=Installed("alias", DIVING))


def test_every_shipped_plugin_is_installed_and_loads():
    available = installed_plugins()
    assert set(available) >= {"audit_log", "calculator", "clock", "rate_limiter", "tables"}
    for name, point in available.items():
        assert point.load().name == name


def test_several_workers_need_a_shared_idempotency_store(tmp_path):
    settings = plugins_settings(tmp_path, server={"workers": 2}, tools={"store": "memory"})
    with pytest.raises(StartupError, match="2 workers cannot share memory"):
        build(settings, peers=None)
