"""Decodes GET /v1/models: a model's context length, how it can think, and how many tokens it may output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.formats.vendor_json import count_in


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """The capabilities that a request depends on. The defaults are those of Anthropic's current models."""

    context_length: int = 0
    """Tokens; 0 if not known."""
    max_tokens: int = 0
    """The largest max_tokens that a request may set; 0 if not known."""
    adaptive_thinking: bool = True
    """Whether the model can decide by itself how long to think."""
    budgeted_thinking: bool = False
    """Whether it can think within a given number of tokens."""
    can_disable_thinking: bool = True
    """Whether a request may turn thinking off."""
    supports_effort: bool = True
    """Whether it takes a degree of effort."""
    enforces_schemas: bool = True
    """Whether it has a field for a JSON Schema."""
    thinks_by_default: bool = False
    """Whether it may think without being asked to. True for every model that is known to think."""


@dataclass(frozen=True, slots=True)
class ModelPage:
    """One page of the list."""

    models: Sequence[tuple[str, ModelProfile]]
    after_id: str
    """Where the next page begins; empty on the last page."""


def decode_page(body: bytes) -> ModelPage:
    """The models of one page.

    Raises:
        ProtocolViolation: it is not a list of models.
    """
    try:
        page = orjson.loads(body)
        models = [(str(model["id"]), _profile(model)) for model in page["data"] or () if model["id"]]
        more = page.get("has_more") is True and bool(models)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ProtocolViolation("GET models did not return a list of models") from None
    return ModelPage(models, str(page.get("last_id") or models[-1][0]) if more else "")


def decode_model(body: bytes) -> ModelProfile:
    """The profile of one model.

    Raises:
        ProtocolViolation: it is not a model.
    """
    try:
        model = orjson.loads(body)
    except orjson.JSONDecodeError:
        model = None
    if not isinstance(model, dict) or not model.get("id"):
        raise ProtocolViolation("GET models/… did not return a model")
    return _profile(model)


def _profile(model: Mapping[str, Any]) -> ModelProfile:
    lengths = count_in(model, "max_input_tokens"), count_in(model, "max_tokens")
    capabilities = model.get("capabilities")
    if not isinstance(capabilities, Mapping):
        return ModelProfile(*lengths)
    thinking = _object(capabilities, "thinking")
    types = _object(thinking, "types")
    return ModelProfile(
        *lengths,
        adaptive_thinking=_supports(types, "adaptive"),
        budgeted_thinking=_supports(types, "enabled"),
        # Newer than the others, so not every server that lists models reports it.
        can_disable_thinking=_supports(types, "disabled") if "disabled" in types else True,
        supports_effort=_supports(capabilities, "effort"),
        enforces_schemas="structured_outputs" not in capabilities
        or _supports(capabilities, "structured_outputs"),
        thinks_by_default=thinking.get("supported") is True,
    )


def _supports(capabilities: Mapping[str, Any], name: str) -> bool:
    return _object(capabilities, name).get("supported") is True


def _object(outer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = outer.get(name)
    return inner if isinstance(inner, Mapping) else {}
