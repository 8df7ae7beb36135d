"""What /api/embed answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage
from clawdbot_servicekit.errors import InvalidRequest

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.provider import Embedded


def read_embeddings(body: bytes, texts: Sequence[str], model: str, dimensions: int | None) -> Embedded:
    """The vectors.

    Args:
        body: the answer.
        texts: what was asked about.
        model: what was asked, shown where the answer names no model.
        dimensions: the length that was asked for. Ollama shortens vectors and says nothing where they are too
            short already.

    Raises:
        ProtocolViolation: it is not one vector for each text.
        InvalidRequest: the model's vectors are shorter than was asked for.
    """
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    vectors = answer.get("embeddings") if isinstance(answer, dict) else None
    if not isinstance(vectors, list) or len(vectors) != len(texts) or not all(map(_vector, vectors)):
        raise ProtocolViolation("what it answers to POST api/embed is not one vector for each text")
    lengths = set(map(len, vectors))
    if len(lengths) > 1:
        raise ProtocolViolation("it answers vectors of different lengths")
    if dimensions is not None and lengths and lengths != {dimensions}:
        raise InvalidRequest.of("dimensions", f"{model} makes vectors of {lengths.pop()}, and no others.")
    count, name = answer.get("prompt_eval_count"), answer.get("model")
    usage = Usage()
    if isinstance(count, int) and 0 < count < 2**53:
        usage = Usage(input_tokens=count, provenance=USAGE_PROVENANCE_REPORTED)
    return Embedded(vectors, name if isinstance(name, str) and name else model, usage)


def _vector(each: Any) -> bool:
    return isinstance(each, list) and bool(each) and all(isinstance(number, int | float) for number in each)
