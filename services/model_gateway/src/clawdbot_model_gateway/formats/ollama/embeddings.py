"""Decodes the response of /api/embed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.provider import EmbeddingResult
from clawdbot_model_gateway.formats.vendor_json import count_in


def decode_embeddings(body: bytes, texts: Sequence[str], model: str) -> EmbeddingResult:
    """The vectors.

    Args:
        body: the response.
        texts: what was asked about.
        model: what was asked for, reported if the response names no model.

    Raises:
        ProtocolViolation: it is not one vector for each text.
    """
    try:
        response = orjson.loads(body)
    except orjson.JSONDecodeError:
        response = None
    vectors = response.get("embeddings") if isinstance(response, dict) else None
    if not isinstance(vectors, list) or len(vectors) != len(texts) or not all(map(_is_vector, vectors)):
        raise ProtocolViolation("POST api/embed did not return one vector for each text")
    if len(set(map(len, vectors))) > 1:
        raise ProtocolViolation("POST api/embed returned vectors of different lengths")
    count, name = count_in(response, "prompt_eval_count"), response.get("model")
    usage = Usage(input_tokens=count, provenance=USAGE_PROVENANCE_REPORTED) if count else Usage()
    return EmbeddingResult(vectors, name if isinstance(name, str) and name else model, usage)


def _is_vector(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(number, int | float) for number in value)
