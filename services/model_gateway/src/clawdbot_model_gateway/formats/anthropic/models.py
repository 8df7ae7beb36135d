"""What GET /v1/models tells of a model: how long its context is, how it can think and how much it may say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from clawdbot_model_gateway.core.errors import ProtocolViolation


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a request depends on. The defaults are those of the models of the day."""

    context_length: int = 0
    """0 where it is not told."""
    max_tokens: int = 0
    """The most that a request may ask for; 0 where it is not told."""
    adaptive: bool = True
    """Whether the model can be left to decide how long it thinks."""
    budgeted: bool = False
    """Whether it thinks within a number of tokens."""
    can_stop_thinking: bool = True
    """Whether a request may turn thinking off."""
    effort: bool = True
    """Whether it takes a degree of effort."""
    always: bool = False
    """Whether it may think without being asked to; so with every model that is known to think."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list."""

    models: Sequence[tuple[str, ModelFacts]]
    after: str
    """Where the next page begins; empty after the last one."""


def read_page(body: bytes) -> Page:
    """The models of one page.

    Raises:
        ProtocolViolation: it is none.
    """
    try:
        page = orjson.loads(body)
        models = [(str(each["id"]), _facts(each)) for each in page["data"] if each["id"]]
        more = page.get("has_more") is True and bool(models)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ProtocolViolation("what it answers to GET models is no list of models") from None
    return Page(models, str(page.get("last_id") or models[-1][0]) if more else "")


def read_model(body: bytes) -> ModelFacts:
    """The facts of one model.

    Raises:
        ProtocolViolation: it is none.
    """
    try:
        model = orjson.loads(body)
    except orjson.JSONDecodeError:
        model = None
    if not isinstance(model, dict) or not model.get("id"):
        raise ProtocolViolation("what it answers to GET models/… is no model")
    return _facts(model)


def _facts(model: Mapping[str, Any]) -> ModelFacts:
    lengths = _count(model.get("max_input_tokens")), _count(model.get("max_tokens"))
    capabilities = model.get("capabilities")
    if not isinstance(capabilities, Mapping):
        return ModelFacts(*lengths)
    thinking = _inner(capabilities, "thinking")
    ways = _inner(thinking, "types")
    return ModelFacts(
        *lengths,
        adaptive=_can(ways, "adaptive"),
        budgeted=_can(ways, "enabled"),
        # Not every server that lists models tells this one, which is newer than the others.
        can_stop_thinking=_can(ways, "disabled") if "disabled" in ways else True,
        effort=_can(capabilities, "effort"),
        always=thinking.get("supported") is True,
    )


def _can(capabilities: Mapping[str, Any], name: str) -> bool:
    return _inner(capabilities, name).get("supported") is True


def _inner(outer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = outer.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 2**31 else 0
