"""Every number in every setting has bounds, and the message for a number beyond one says which."""

from __future__ import annotations

import re
from typing import Annotated, get_args, get_origin

import pytest
from clawdbot_cli.settings import SuiteSettings
from clawdbot_model_gateway.provider_registry import installed_providers
from clawdbot_plugins.discovery import installed_plugins
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings import load
from clawdbot_servicekit.validation_words import section_errors
from pydantic import BaseModel, ValidationError

NAN, INF = float("nan"), float("inf")
HUGE = (2**63, 10**30, 10**400, 1e19, 1e300, str(10**30), "9" * 5000)
LOWER_BOUND = re.compile(r"expected (?:text or )?(?:at least|more than) -?\d+")
UPPER_BOUND = re.compile(r"expected (?:text or )?at most (\d+)(?: or a section with keys of its own)?\.$")


def leaves(annotation):
    """The types that a value may have, and those inside lists and mappings."""
    if get_origin(annotation) is Annotated or get_args(annotation):
        for each in get_args(annotation):
            yield from leaves(each)
    elif isinstance(annotation, type):
        yield annotation


def models_of(model, found):
    """The model and all sections inside it."""
    if model not in found:
        found.append(model)
        for field in model.model_fields.values():
            for leaf in leaves(field.annotation):
                if issubclass(leaf, BaseModel):
                    models_of(leaf, found)
    return found


def all_models():
    found = models_of(SuiteSettings, [])
    for point in installed_providers().values():
        models_of(point.load().options, found)
    for point in installed_plugins().values():
        if settings := point.load().settings:
            models_of(settings, found)
    return found


@pytest.fixture
def error_of(tmp_path):
    """Returns the message for a configuration."""

    def error_of(text):
        path = tmp_path / "clawdbot.yaml"
        path.write_text(text)
        with pytest.raises(StartupError) as caught:
            load(SuiteSettings, path, {})
        return str(caught.value)

    return error_of


FIELDS = {
    f"{model.__name__}.{name}": (model, name)
    for model in all_models()
    for name, field in model.model_fields.items()
    if {int, float} & set(leaves(field.annotation))
}


def refusal(model, name, value):
    """What is said about a value of one field; empty if it is accepted."""
    annotation = model.model_fields[name].annotation
    wrapped = [value] if get_origin(annotation) is tuple and int in leaves(annotation) else value
    try:
        model.model_validate({name: wrapped})
    except ValidationError as error:
        lines = section_errors("x", {name: wrapped}, error).splitlines()
        return "\n".join(each for each in lines if re.match(rf"x\.{name}(\[0\])?: ", each))
    return ""


def test_the_walk_finds_the_numbers_of_all_parts():
    assert len(FIELDS) > 60
    assert {
        *("ServerSettings.settle", "DialogueSection.turn_timeout", "HttpSettings.dns_ttl"),
        *("ToolsSettings.remember", "TablesSettings.tables", "LlamaCppSettings.threads"),
        *("ScriptedReply.pace", "MediaSettings.max_data_uri", "TelemetrySettings.metrics_port"),
    } <= set(FIELDS)


@pytest.mark.parametrize("field", FIELDS)
def test_a_huge_number_is_refused_with_the_largest_that_is_allowed(field):
    model, name = FIELDS[field]
    accepts_text = str in leaves(model.model_fields[name].annotation)
    for value in HUGE:
        if accepts_text and isinstance(value, str):
            continue
        message = refusal(model, name, value)
        if model.__module__.startswith("clawdbot_plugins.builtin"):
            assert "expected" in message, value  # plain pydantic, which says less about the largest ones
            continue
        largest = UPPER_BOUND.search(message)
        assert largest, (str(value)[:40], message)
        assert refusal(model, name, int(largest[1])) == ""
        assert refusal(model, name, int(largest[1]) + 1) == message


@pytest.mark.parametrize("field", FIELDS)
def test_a_number_that_is_too_small_is_refused_with_the_smallest(field):
    model, name = FIELDS[field]
    for value in (-(10**30), -(2**63) - 1, -1e300):
        message = refusal(model, name, value)
        assert LOWER_BOUND.search(message) or "a smaller number" in message, (value, message)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [NAN, INF, -INF, True, False, [], {}])
def test_what_is_not_a_number_is_refused(field, value):
    model, name = FIELDS[field]
    if value == {} and any(
        issubclass(leaf, BaseModel) for leaf in leaves(model.model_fields[name].annotation)
    ):
        return  # a number or a section: an empty one has its defaults
    message = refusal(*FIELDS[field], value)
    assert "expected" in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["9" * 400 + "d", "99999999999d", "1d1e300s", "1e300", "inf", "nan", "-1"])
def test_a_duration_that_nobody_waits_for_is_refused(error_of, text):
    assert "server.grace: expected" in error_of(f"server: {{grace: '{text}'}}")


@pytest.mark.parametrize("text", ["999999TiB", "3000MiB", "9" * 400 + "TiB", "1e300", "inf", "nan", "-1"])
def test_a_size_that_no_message_can_have_is_refused(error_of, text):
    for key in ("max_message", "max_metadata"):
        assert f"server.{key}: expected" in error_of(f"server: {{{key}: '{text}'}}")


def test_the_largest_values_are_accepted():
    settings = load(
        SuiteSettings,
        None,
        {
            "CLAWDBOT_SERVER__MAX_MESSAGE": "1GiB",
            "CLAWDBOT_SERVER__GRACE": "1h",
            "CLAWDBOT_SERVER__MAX_DEADLINE": "1d",
            "CLAWDBOT_TOOLS__REMEMBER": "3650d",
        },
    )
    assert settings.server.max_message == 2**30
    assert (settings.server.grace, settings.server.max_deadline) == (3600, 86_400)


@pytest.mark.parametrize("text", ["1/99999999999 years", "1/2 years", "5/400 days", "9999999/second"])
def test_a_rate_limit_has_bounds_too(text):
    model = installed_plugins()["rate_limiter"].load().settings
    assert refusal(model, "turns", text).startswith("x.turns: expected limits")
