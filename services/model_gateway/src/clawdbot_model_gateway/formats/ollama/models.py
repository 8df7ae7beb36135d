"""What Ollama says of its models: /api/tags lists them, /api/show tells what one can do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from clawdbot_model_gateway.core.errors import ProtocolViolation

BY_DEGREES: Final = ("gptoss", "gpt-oss")
"""Families whose models take "low", "medium" or "high"; Ollama refuses these words for all others."""

LONGEST: Final = 2**31
"""Tokens. What is longer is no context."""

_NUM_CTX: Final = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What one model can do, as far as it is known."""

    context_length: int = 0
    """Tokens of a request and its reply together; 0 where Ollama does not say."""
    chats: bool = True
    """False for models that only make embeddings."""
    thinks: bool = False
    thinks_by_degrees: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A model as /api/tags lists it."""

    name: str
    digest: str
    """Changes when the model is pulled anew under its old name."""


def read_version(body: bytes) -> str:
    """Ollama's own version.

    Raises:
        ProtocolViolation: it is none.
    """
    try:
        version = orjson.loads(body)["version"]
    except (ValueError, TypeError, KeyError):
        version = None
    if not isinstance(version, str):
        raise ProtocolViolation("what it answers to GET api/version is no version")
    return version


def read_tags(body: bytes) -> list[Listed]:
    """The models that are there, the one that was changed last first.

    Raises:
        ProtocolViolation: it is no list of models.
    """
    try:
        models = orjson.loads(body)["models"] or []
        return [Listed(str(each["name"]), str(each.get("digest", ""))) for each in models if each["name"]]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ProtocolViolation("what it answers to GET api/tags is no list of models") from None


def read_show(body: bytes, num_ctx: int | None) -> ModelFacts:
    """What /api/show tells.

    Args:
        body: its answer.
        num_ctx: the length that our requests ask for, None where they leave it to Ollama. It bounds the
            model's own, as does one in the model's Modelfile.

    Raises:
        ProtocolViolation: it is no such answer.
    """
    try:
        shown = orjson.loads(body)
    except orjson.JSONDecodeError:
        shown = None
    if not isinstance(shown, dict):
        raise ProtocolViolation("what it answers to POST api/show is no model")
    able = shown.get("capabilities")
    # Ollama before 0.6.4 did not tell; what is not told is not denied.
    able = able if isinstance(able, list) and able else ["completion"]
    details = shown.get("details")
    family = str(details.get("family", "")) if isinstance(details, dict) else ""
    return ModelFacts(
        context_length=_context_length(shown, num_ctx),
        chats="completion" in able,
        thinks="thinking" in able,
        thinks_by_degrees=family.startswith(BY_DEGREES),
    )


def _context_length(shown: Mapping[str, Any], num_ctx: int | None) -> int:
    info = shown.get("model_info")
    trained = 0
    if isinstance(info, dict):
        own = info.get(f"{info.get('general.architecture')}.context_length")
        trained = own if isinstance(own, int) and 0 < own < LONGEST else 0
    parameters = shown.get("parameters")
    said = _NUM_CTX.search(parameters) if isinstance(parameters, str) else None
    wanted = num_ctx or (int(said[1]) if said else 0)
    return min(filter(None, (trained, wanted)), default=0)
