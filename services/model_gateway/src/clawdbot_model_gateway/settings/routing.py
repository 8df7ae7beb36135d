"""The section `models`: several backends, and which of them a request goes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from clawdbot_servicekit.settings import Number, Section, Whole
from clawdbot_servicekit.settings.values import matching
from pydantic import Field, field_validator, model_validator

from clawdbot_model_gateway.core.routing.routing_table import NAME_GRAMMAR, NAME_PATTERN
from clawdbot_model_gateway.settings.backends import BackendSettings

Name = Annotated[
    str,
    matching(NAME_PATTERN, NAME_GRAMMAR),
]
"""Of a backend or an alias: without a slash, which separates a backend from its model."""


class BalanceSettings(Section):
    """How requests are divided between the regular targets of an alias; `by` alone may stand for it."""

    by: Literal["weighted", "least_latency", "prefix"] = "weighted"
    prefix_length: Annotated[Whole, Field(ge=1, le=1_000_000)] = 2048
    """With `prefix`: characters of a conversation's beginning that are compared."""
    max_load: Annotated[Number, Field(ge=1, le=1000)] = 1.25
    """With `prefix`: times the average requests in flight above which a backend is too busy for more."""

    @model_validator(mode="before")
    @classmethod
    def _expand_short_form(cls, values: Any) -> Any:
        return {"by": values} if isinstance(values, str) else values


class AliasTarget(Section):
    """One target of an alias."""

    target: str
    """ "backend/model"; "backend/*" is the first model that the backend lists."""
    weight: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1
    """Relative share of the alias's requests."""
    fallback: bool = False
    """Used only when the regular targets fail; fallbacks are tried in the order of the list."""

    @model_validator(mode="before")
    @classmethod
    def _expand_short_form(cls, values: Any) -> Any:
        return {"target": values} if isinstance(values, str) else values


class AliasSettings(Section):
    """An alias. A target, or a list of them, may stand for it."""

    targets: tuple[AliasTarget, ...]
    balance: BalanceSettings | None = None
    """Omitted: models.balance."""

    @model_validator(mode="before")
    @classmethod
    def _expand_short_forms(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "target" in values:
            values = {"targets": values}
        targets = values.get("targets")
        return {**values, "targets": [targets]} if isinstance(targets, str | dict) else values


class RuleSettings(Section):
    """Sends requests to another model."""

    when: str
    """A condition in CEL over `request`, `tenant` and `labels`."""
    model: str
    """The alias or the "backend/model" that requests go to which meet it, whatever they ask for."""

    @field_validator("when")
    @classmethod
    def _check_condition(cls, text: str) -> str:
        # Only where there are rules: CEL takes a while to load.
        from clawdbot_model_gateway.core.routing.routing_rules import check_condition

        check_condition(text)
        return text


class ModelsSettings(Section):
    """Several backends, and the aliases that callers use."""

    backends: Annotated[Mapping[Name, BackendSettings], Field(min_length=1)]
    aliases: Mapping[Name, AliasSettings] = Field(default_factory=dict)
    """Alias → targets. `chat` and `default` are added where they are missing."""
    balance: BalanceSettings = BalanceSettings()
    """Of the aliases that have none of their own."""
    rules: tuple[RuleSettings, ...] = ()
    """Which requests go to another model than they ask for; the first rule that holds is followed."""

    @field_validator("aliases")
    @classmethod
    def _check_targets(cls, aliases: Mapping[str, AliasSettings]) -> Mapping[str, AliasSettings]:
        for alias, settings in aliases.items():
            names = [each.target for each in settings.targets]
            if not names:
                raise ValueError(f"the alias {alias} has no targets")
            if len(set(names)) < len(names):
                raise ValueError(f"the alias {alias} lists a target twice")
        return aliases
