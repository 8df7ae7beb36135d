"""The key of a request: what it has in common with the requests that its reply may be served to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.reply_cache.port import CacheKey

NotInKey = Literal["model", "priority", "cache", "metadata", "request_id"]

SCHEMA: Final = b"3"
"""Version of the key and of what is stored. Raise it with every change of either."""

NOT_IN_KEY: Final[Mapping[NotInKey, str]] = {
    "model": "the target that it was resolved to is in the key",
    "priority": "when a request is sent, and not what",
    "cache": "whether the cache is used, and not what for",
    "metadata": "never sent to the vendor",
    "request_id": "names the request, and is never sent to the vendor",
}
"""Fields of a request that do not change its reply → why. All others do, and so does a field that is new."""


def cache_key(request: GenerateRequest, backend: Backend, model: str, tenant: str) -> CacheKey:
    """The key of a request to a model of a backend, the model by the vendor's name."""
    canonical = GenerateRequest()
    canonical.CopyFrom(request)
    for field in NOT_IN_KEY:
        canonical.ClearField(field)
    for message in canonical.messages:
        # Ignored in requests, so never sent to a vendor.
        message.ClearField("create_time")
    # Deterministic: the keys of maps, and so of a Struct, are sorted.
    body = canonical.SerializeToString(deterministic=True)
    target = f"{backend.name}/{model}"
    return _key(tenant, target, _common("generate", tenant, target, backend.fingerprint), body)


def vector_keys(
    texts: Sequence[str], dimensions: int | None, backend: Backend, model: str, tenant: str
) -> Sequence[CacheKey]:
    """The key of each text that a model of a backend is to embed."""
    target = f"{backend.name}/{model}"
    common = _common(f"embed {dimensions}", tenant, target, backend.fingerprint)
    return [_key(tenant, target, common, each.encode()) for each in texts]


def _key(tenant: str, target: str, common: blake2b, body: bytes) -> CacheKey:
    digest = common.copy()
    digest.update(body)
    return CacheKey(tenant, target, digest.digest())


@lru_cache(maxsize=1024)
def _common(kind: str, tenant: str, target: str, fingerprint: bytes) -> blake2b:
    """The hash of what many requests have in common. It is copied, and never updated."""
    common = blake2b(digest_size=32)
    for piece in (SCHEMA, kind.encode(), tenant.encode(), target.encode(), fingerprint):
        common.update(len(piece).to_bytes(8))
        common.update(piece)
    return common
