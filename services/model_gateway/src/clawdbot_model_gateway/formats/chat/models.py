"""Decodes the list of models of GET models, as OpenAI and the servers that imitate it send it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.provider import VendorModel
from clawdbot_model_gateway.formats.vendor_json import as_object, as_string, count_in, load_json

NON_CHAT_MODELS: Final = re.compile(
    r"embed|rerank|whisper|tts|transcribe|dall-e|image|moderation|realtime|sora|audio", re.IGNORECASE
)
"""In the names of models that do not chat."""

LIST_FIELDS: Final = ("data", "models")
"""Where the list is: OpenAI, Cohere."""
NAME_FIELDS: Final = ("id", "name", "model")
CONTEXT_LENGTH_FIELDS: Final = ("max_model_len", "context_length", "context_window", "max_context_length")
"""The field's name: vLLM, OpenRouter, Groq, Mistral."""


def decode_models(body: bytes) -> Sequence[VendorModel]:
    """The models. Those that do not chat come last, since the first one may become the default.

    Args:
        body: OpenAI's object, a bare list as Together sends it, or Cohere's object; of names or objects.

    Raises:
        ProtocolViolation: it is not a list of models.
    """
    try:
        listed = load_json(body)
        if isinstance(listed, dict):
            # No models: Ollama sends null.
            listed = listed[next(field for field in LIST_FIELDS if field in listed)] or []
        if not isinstance(listed, list):
            raise TypeError
        models = [VendorModel(name, _context_length(each)) for each in listed if (name := _name_of(each))]
    except (ValueError, TypeError, StopIteration):
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


def _context_length(listed: Any) -> int:
    return count_in(listed, *CONTEXT_LENGTH_FIELDS)


def _name_of(listed: Any) -> str:
    fields = as_object(listed)
    return as_string(listed) or next((str(fields[each]) for each in NAME_FIELDS if fields.get(each)), "")
