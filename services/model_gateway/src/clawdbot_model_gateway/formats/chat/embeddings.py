"""POST /embeddings: encodes the request's body and decodes the vectors.

Source: OpenAI's API reference, "Create embeddings"; vLLM, llama.cpp, Mistral and others answer the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.provider import EmbeddingResult
from clawdbot_model_gateway.formats.vendor_json import count_in

NOT_VECTORS: Final = "POST embeddings did not return one vector for each text"


def encode_embeddings(texts: Sequence[str], model: str, dimensions: int | None) -> bytes:
    """The body."""
    body: dict[str, Any] = {"model": model, "input": list(texts), "encoding_format": "float"}
    if dimensions is not None:
        body["dimensions"] = dimensions
    return orjson.dumps(body)


def decode_embeddings(body: bytes, texts: Sequence[str], model: str) -> EmbeddingResult:
    """The vectors, in the order of the texts whatever the order of the response.

    Args:
        body: the response.
        texts: what was asked about.
        model: what was asked for, reported if the response names no model.

    Raises:
        ProtocolViolation: it is not one vector for each text, all of one length.
    """
    try:
        response = orjson.loads(body)
        items = {_index(item, index): item["embedding"] for index, item in enumerate(response["data"])}
        vectors = [items[index] for index in range(len(texts))]
    except (ValueError, TypeError, KeyError):
        raise ProtocolViolation(NOT_VECTORS) from None
    if len(items) != len(texts) or not all(map(_is_vector, vectors)):
        raise ProtocolViolation(NOT_VECTORS)
    if len({len(vector) for vector in vectors}) > 1:
        raise ProtocolViolation("POST embeddings returned vectors of different lengths")
    name = response.get("model")
    return EmbeddingResult(
        vectors, name if isinstance(name, str) and name else model, _usage(response.get("usage"))
    )


def _index(item: Mapping[str, Any], default: int) -> int:
    index = item.get("index", default)
    return index if isinstance(index, int) else default


def _usage(usage: Any) -> Usage:
    count = count_in(usage, "prompt_tokens")
    return Usage(input_tokens=count, provenance=USAGE_PROVENANCE_REPORTED) if count else Usage()


def _is_vector(value: Any) -> bool:
    """Whether it can be one. Its numbers are checked when they are packed."""
    return isinstance(value, list) and bool(value)
