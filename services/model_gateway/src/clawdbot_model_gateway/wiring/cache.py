"""Builds the cache of replies from the settings."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeAlias

import orjson

from clawdbot_model_gateway.backend_config import BackendPlan
from clawdbot_model_gateway.core.reply_cache.cached_replies import CachedReplies
from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.reply_cache.port import ReplyCache
from clawdbot_model_gateway.core.reply_cache.rules import CacheRules
from clawdbot_model_gateway.core.reply_cache.similar_requests import Embed, SemanticRules, SimilarRequests
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.settings import BackendSettings
from clawdbot_model_gateway.settings.cache import CacheSettings, SemanticCacheSettings
from clawdbot_model_gateway.stores.file.flush_counters import FlushCounters
from clawdbot_model_gateway.stores.in_memory.reply_cache import InMemoryReplyCache
from clawdbot_model_gateway.wiring.redis import redis_at

WITHOUT_EFFECT: Final = frozenset(
    {
        "name",
        "models",
        "api_key",
        "api_keys",
        "tokenizer",
        "http",
        "queue",
        "retry",
        "hedge",
        "breaker",
        "headers",
        "prices",
    }
)
"""Settings of a backend that do not change a reply; headers are added with their values. All others do."""

SemanticFingerprint: TypeAlias = (
    tuple[SemanticCacheSettings, Sequence[Target] | None, Sequence[BackendSettings | None]] | None
)
"""The settings of finding similar requests, the targets of its model, and their backends; None: it is off."""


def cached_replies(settings: CacheSettings, folder: Path, metrics: CacheMetrics) -> CachedReplies:
    """The cache of replies. It is there also where it is off, since a reload may turn it on.

    Args:
        settings: the section gateway.cache.
        folder: for what the workers of this machine share.
        metrics: of the cache.
    """
    memory = InMemoryReplyCache(settings.memory, FlushCounters(folder / "replies.count"), metrics)
    return CachedReplies(cache_rules(settings), memory, _shared(settings, metrics), metrics)


def cache_rules(settings: CacheSettings) -> CacheRules:
    """Which requests use the cache, and for how long."""
    return CacheRules(settings.enabled, settings.default, settings.ttl, settings.max_ttl)


def similar_requests(
    settings: SemanticCacheSettings | None, embed: Embed, metrics: CacheMetrics
) -> SimilarRequests | None:
    """Finds requests that mean the same; None where that is off.

    Args:
        settings: the section gateway.cache.semantic.
        embed: answers Embed.
        metrics: of the cache.
    """
    if settings is None:
        return None
    rules = SemanticRules(
        settings.model,
        frozenset(settings.tenants),
        settings.threshold,
        settings.timeout,
        settings.max_entries,
    )
    return SimilarRequests(rules, embed, metrics)


def semantic_fingerprint(settings: SemanticCacheSettings | None, plan: BackendPlan) -> SemanticFingerprint:
    """What finding similar requests depends on: where it differs, their model is measured anew."""
    if settings is None:
        return None
    targets = plan.aliases.get(settings.model)
    names = [each.backend for each in targets] if targets else [settings.model.partition("/")[0]]
    return settings, targets, [plan.backends.get(name) for name in names]


def fingerprint(settings: BackendSettings) -> bytes:
    """A hash of the settings that change a backend's replies, and of this version of the gateway."""
    values = settings.model_dump(mode="json", exclude=set(WITHOUT_EFFECT))
    values["headers"] = {name: each.get_secret_value() for name, each in settings.headers.items()}
    plain = orjson.dumps(values, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return blake2b(version("clawdbot-model-gateway").encode() + b"\0" + plain, digest_size=32).digest()


def _shared(settings: CacheSettings, metrics: CacheMetrics) -> ReplyCache | None:
    if settings.redis is None:
        return None
    # Only where it is used: the import takes longer than the rest of the gateway's start.
    from clawdbot_model_gateway.stores.redis.reply_cache import RedisReplyCache

    with redis_at("gateway.cache.redis"):
        return RedisReplyCache(settings.redis.get_secret_value(), metrics)
