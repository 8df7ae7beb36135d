"""Decodes the list of models of GET models, as OpenAI and the servers that imitate it send it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.provider import VendorModel
from clawdbot_model_gateway.formats.vendor_json import as_object, as_string, load_json

NON_CHAT_MODELS: Final = re.compile(
    r"embed|rerank|whisper|tts|transcribe|dall-e|image|moderation|realtime|sora|audio", re.IGNORECASE
)
"""In the names of models that do not chat."""

CONTEXT_LENGTH_FIELDS: Final = ("max_model_len", "context_length", "context_window", "max_context_length")
"""The field's name: vLLM, OpenRouter, Groq, Mistral."""


def decode_models(body: bytes) -> Sequence[VendorModel]:
    """The models. Those that do not chat come last, since the first one may become the default.

    Args:
        body: OpenAI's object, or a bare list as Together sends it.

    Raises:
        ProtocolViolation: it is not a list of models.
    """
    try:
        listed = orjson.loads(body)
        if isinstance(listed, dict):
            # No models: Ollama sends null.
            listed = listed["data"] or ()
        models = [VendorModel(str(each["id"]), _context_length(each)) for each in listed if each["id"]]
    except (ValueError, TypeError, KeyError):
        raise ProtocolViolation("GET models did not return a list of models") from None
    # The sort is stable: models that chat keep the backend's order.
    return sorted(models, key=lambda model: bool(NON_CHAT_MODELS.search(model.name)))


def decode_roots(body: bytes) -> Mapping[str, str]:
    """Name → the model that vLLM serves under it, where the list of models says so."""
    listed = as_object(load_json(body)).get("data")
    models = [as_object(each) for each in listed] if isinstance(listed, list) else []
    return {str(each.get("id")): root for each in models if (root := as_string(each.get("root")))}


def decode_template(body: bytes) -> str:
    """The template in the response to llama.cpp's GET /props; empty if there is none."""
    try:
        return as_string(as_object(load_json(body)).get("chat_template"))
    except ValueError:
        return ""


def _context_length(listed: Mapping[str, Any]) -> int:
    lengths = (each for field in CONTEXT_LENGTH_FIELDS if isinstance(each := listed.get(field), int))
    return next(lengths, 0)
