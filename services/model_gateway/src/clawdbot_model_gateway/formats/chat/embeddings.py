"""POST /embeddings: the request's body, and the vectors that come back.

Source: OpenAI's API reference, "Create embeddings"; vLLM, llama.cpp, Mistral and others answer the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.provider import Embedded

NOT_VECTORS: Final = "what it answers to POST embeddings is not one vector for each text"


def write_embeddings(texts: Sequence[str], model: str, dimensions: int | None) -> bytes:
    """The body."""
    body: dict[str, Any] = {"model": model, "input": list(texts), "encoding_format": "float"}
    if dimensions is not None:
        body["dimensions"] = dimensions
    return orjson.dumps(body)


def read_embeddings(body: bytes, texts: Sequence[str], model: str) -> Embedded:
    """The vectors, in the order of the texts whatever the order of the answer.

    Args:
        body: the answer.
        texts: what was asked about.
        model: what was asked, shown where the answer names no model.

    Raises:
        ProtocolViolation: it is not one vector for each text, all of one length.
    """
    try:
        answer = orjson.loads(body)
        items = {_place(each, place): each["embedding"] for place, each in enumerate(answer["data"])}
        vectors = [items[place] for place in range(len(texts))]
    except (ValueError, TypeError, KeyError):
        raise ProtocolViolation(NOT_VECTORS) from None
    if len(items) != len(texts) or not all(map(_vector, vectors)):
        raise ProtocolViolation(NOT_VECTORS)
    if len({len(each) for each in vectors}) > 1:
        raise ProtocolViolation("it answers vectors of different lengths")
    name = answer.get("model")
    return Embedded(vectors, name if isinstance(name, str) and name else model, _usage(answer.get("usage")))


def _place(item: Mapping[str, Any], place: int) -> int:
    index = item.get("index", place)
    return index if isinstance(index, int) else place


def _usage(usage: Any) -> Usage:
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    if isinstance(count, int) and 0 < count < 2**53:
        return Usage(input_tokens=count, provenance=USAGE_PROVENANCE_REPORTED)
    return Usage()


def _vector(each: Any) -> bool:
    """Whether it may be one; its numbers are looked at when they are packed."""
    return isinstance(each, list) and bool(each)
