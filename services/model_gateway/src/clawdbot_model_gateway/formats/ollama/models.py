"""Decodes what Ollama reports about its models: /api/tags lists them, /api/show describes one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.formats.think_tags import go_opens_thought
from clawdbot_model_gateway.formats.vendor_json import as_object, as_string, count_in
from clawdbot_model_gateway.formats.vendor_profile import ThinkTags

EFFORT_FAMILIES: Final = ("gptoss", "gpt-oss")
"""Families whose models take "low", "medium" or "high"; Ollama refuses these words for all others."""

_NUM_CTX: Final = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """What one model can do, as far as it is known."""

    context_length: int = 0
    """Tokens of a request and its reply together; 0 if Ollama does not report it."""
    chats: bool = True
    """False for models that only make embeddings."""
    thinks: bool = False
    takes_effort: bool = False
    """Whether the length of its thinking can be set in degrees, not only on and off."""
    think_tags: ThinkTags = "auto"
    """Where its text contains reasoning, by its template."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as /api/tags lists it."""

    name: str
    digest: str
    """Changes when the model is pulled again under the same name."""


def decode_version(body: bytes) -> str:
    """Ollama's own version.

    Raises:
        ProtocolViolation: there is none.
    """
    try:
        version = orjson.loads(body)["version"]
    except (ValueError, TypeError, KeyError):
        version = None
    if not isinstance(version, str):
        raise ProtocolViolation("GET api/version did not return a version")
    return version


def decode_tags(body: bytes) -> list[ListedModel]:
    """The installed models, the most recently changed one first.

    Raises:
        ProtocolViolation: it is not a list of models.
    """
    try:
        models = orjson.loads(body)["models"] or []
        return [
            ListedModel(str(model["name"]), str(model.get("digest", ""))) for model in models if model["name"]
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ProtocolViolation("GET api/tags did not return a list of models") from None


def decode_show(body: bytes, num_ctx: int | None) -> ModelProfile:
    """What /api/show reports.

    Args:
        body: its response.
        num_ctx: the context length that our requests ask for; None if they leave it to Ollama. It limits the
            model's own, as does the one in the model's Modelfile.

    Raises:
        ProtocolViolation: it is not a model.
    """
    try:
        shown = orjson.loads(body)
    except orjson.JSONDecodeError:
        shown = None
    if not isinstance(shown, dict):
        raise ProtocolViolation("POST api/show did not return a model")
    capabilities = shown.get("capabilities")
    # Ollama before 0.6.4 did not report them: assume that the model chats.
    capabilities = capabilities if isinstance(capabilities, list) and capabilities else ["completion"]
    details = shown.get("details")
    family = str(details.get("family", "")) if isinstance(details, dict) else ""
    return ModelProfile(
        context_length=_context_length(shown, num_ctx),
        chats="completion" in capabilities,
        thinks="thinking" in capabilities,
        takes_effort=family.startswith(EFFORT_FAMILIES),
        think_tags="open" if go_opens_thought(as_string(shown.get("template"))) else "auto",
    )


def _context_length(shown: Mapping[str, Any], num_ctx: int | None) -> int:
    info = as_object(shown.get("model_info"))
    trained = count_in(info, f"{info.get('general.architecture')}.context_length")
    parameters = shown.get("parameters")
    modelfile = _NUM_CTX.search(parameters) if isinstance(parameters, str) else None
    configured = num_ctx or (int(modelfile[1]) if modelfile else 0)
    return min(filter(None, (trained, configured)), default=0)
