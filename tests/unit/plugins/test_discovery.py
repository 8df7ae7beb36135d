"""Which plugins are on, with which settings, and what is said of mistakes."""

from __future__ import annotations

import pytest
from clawdbot_plugin_sdk import Plugin
from clawdbot_plugins.discovery import DEFAULT, choose, installed
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


def chosen(*entries, **available):
    settings = PluginsSettings.model_validate({"plugins": entries})
    return {
        each.definition.name: each.settings
        for each in choose(settings.choices(), {**entry_points(DIVING), **available})
    }


def test_the_harmless_ones_are_on_by_default():
    assert set(chosen()) == set(DEFAULT) == {"calculator", "clock", "tables"}


def test_what_is_listed_is_on_besides():
    assert set(chosen("rate_limiter", "audit_log")) == {*DEFAULT, "rate_limiter", "audit_log"}


def test_a_plugin_can_be_turned_off():
    assert set(chosen({"tables": False}, {"clock": None})) == {"calculator", "clock"}


def test_settings_reach_the_plugin_checked():
    assert chosen({"diving": {"depth": {"metres": "30"}}})["diving"].depth.metres == 30
    assert chosen("diving")["diving"] == DivingSettings()


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("rate_limitter", "plugins: there is no plugin rate_limitter; did you mean rate_limiter?"),
        ({"diving": {"dept": {}}}, "plugins: unknown key diving.dept; did you mean depth?"),
        (
            {"diving": {"depth": {"metres": "deep"}}},
            "plugins: diving.depth.metres: Input should be a valid integer",
        ),
        ({"diving": {"depth": {"feet": 1}}}, "plugins: diving.depth.feet: Extra inputs are not permitted"),
        ({"clock": {"zone": "UTC"}}, "plugins: clock has no settings."),
        (
            {"rate_limiter": {"turn": "1/minute"}},
            "plugins: unknown key rate_limiter.turn; did you mean turns?",
        ),
        (
            {"rate_limiter": {"turns": "sixty"}},
            "plugins: rate_limiter.turns: Value error, expected limits such as",
        ),
        ({"tables": {"opens": "23:00"}}, "plugins: tables: Value error, closes must be later than opens"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_what_was_probably_meant(entry, sentence):
    with pytest.raises(StartupError) as caught:
        chosen(entry)
    assert sentence in str(caught.value)


def test_a_name_that_is_like_none_is_met_with_all_there_are():
    with pytest.raises(
        StartupError, match="there are audit_log, calculator, clock, diving, rate_limiter, tables"
    ):
        chosen("zzzzz")


def test_a_wrong_value_is_never_repeated():
    """It may be a secret in the wrong place."""
    with pytest.raises(StartupError) as caught:
        chosen({"diving": {"token": ["hunter2"], "depth": "hunter2"}})
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
        chosen("broken", broken=Broken("broken", None))


def test_what_is_off_is_not_even_loaded():
    class Broken(Installed):
        def load(self):
            raise AssertionError("loaded")

    assert "broken" not in chosen({"broken": False}, broken=Broken("broken", None))


def test_a_function_that_returns_the_plugin_does_as_well():
    assert "made" in chosen("made", made=Installed("made", lambda: Plugin("made", version="1.0")))


def test_something_else_than_a_plugin_is_refused():
    with pytest.raises(StartupError, match="neither a Plugin nor a function"):
        chosen("odd", odd=Installed("odd", lambda: 1))


def test_an_entry_points_name_must_be_the_plugins():
    with pytest.raises(StartupError, match="installed as alias"):
        chosen("alias", alias=Installed("alias", DIVING))


def test_every_shipped_plugin_is_installed_and_loads():
    available = installed()
    assert set(available) >= {"audit_log", "calculator", "clock", "rate_limiter", "tables"}
    for name, point in available.items():
        assert point.load().name == name


def test_several_workers_need_a_ledger_that_they_share(tmp_path):
    settings = plugins_settings(tmp_path, server={"workers": 2}, tools={"store": "memory"})
    with pytest.raises(StartupError, match="cannot be shared by 2 workers"):
        build(settings, peers=None)
