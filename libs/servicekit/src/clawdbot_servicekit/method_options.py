"""What the contracts say about their methods: the scope that a key needs, and whether a call may be retried.

Both are method options in protos/, read here from the descriptors of the generated code. This module knows no
method by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from clawdbot.common.v1 import access_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

RETRYABLE: Final = (MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT)


def method_scopes(services: Iterable[str]) -> dict[str, str]:
    """The scope that a key needs, by "/package.Service/Method", for every method that names one.

    Args:
        services: full names. A service whose generated code is not loaded has no scopes.
    """
    pool, scopes = descriptor_pool.Default(), dict[str, str]()
    for service in services:
        try:
            methods = pool.FindServiceByName(service).methods
        except KeyError:
            continue
        for method in methods:
            options = method.GetOptions()
            if options.HasExtension(access_pb2.scope):
                scopes[f"/{service}/{method.name}"] = options.Extensions[access_pb2.scope]
    return scopes


def is_retryable(method: str) -> bool:
    """Whether a client library may repeat a call of "/package.Service/Method" after UNAVAILABLE."""
    try:
        found = descriptor_pool.Default().FindMethodByName(method.lstrip("/").replace("/", "."))
    except KeyError:
        return False
    return found.GetOptions().idempotency_level in RETRYABLE
