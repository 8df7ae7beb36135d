"""Identifies the caller of a call by its API key, and checks that the key's scopes allow the method.

Keys come from the configuration. They are kept as SHA-256 and compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from clawdbot_servicekit.caller import DEFAULT_TENANT, Caller
from clawdbot_servicekit.errors import InvalidRequest, PermissionDenied, Unauthenticated
from clawdbot_servicekit.method_options import method_scopes
from clawdbot_servicekit.settings.shared import ApiKeySettings, AuthSettings

TENANT_HEADER: Final = "x-clawdbot-tenant"
"""The tenant that a service calls for. It counts only with the service token."""

EXEMPT: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""Prefixes of methods that need no key: probes, and reflection where it is on."""

_MISSING: Final = "This server needs a key: send it as `authorization: Bearer KEY` or as `x-api-key: KEY`."
_UNKNOWN: Final = "The key is not one of this server's keys."
_MALFORMED: Final = "The authorization header must read `Bearer KEY`."

Metadata = Iterable[tuple[str, str | bytes]]


class Identity:
    """Turns the metadata of a call into its caller."""

    def __init__(self, auth: AuthSettings) -> None:
        self._callers = [
            (_key_digest(key), Caller(tenant=key.tenant, key_id=key.id, scopes=key.scopes))
            for key in auth.keys
        ]
        token = auth.service_token
        self._service = _digest(token.get_secret_value()) if token else None
        self._open = not self._callers and self._service is None
        self._anonymous = Caller()
        self._scopes: dict[str, str] = {}

    def register(self, services: Iterable[str]) -> None:
        """Reads from the contracts which scopes the methods of these services need.

        A method that names none needs a key without scopes, which may do everything.

        Args:
            services: full names of gRPC services.
        """
        self._scopes |= method_scopes(services)

    def identify(self, metadata: Metadata, method: str) -> Caller:
        """The caller that the call is made for.

        Args:
            metadata: the call's headers, lower-case names.
            method: "/package.Service/Method".

        Raises:
            Unauthenticated: for a missing, malformed or unknown key. The message never contains the key.
            PermissionDenied: for a key that lacks the scope of the method.
        """
        if self._open or method.startswith(EXEMPT):
            return self._anonymous
        key, tenant = _credentials(metadata)
        digest = _digest(key)
        if self._service is not None and hmac.compare_digest(digest, self._service):
            return Caller(tenant=_tenant(tenant), key_id="service", service=True)
        found: Caller | None = None
        # Every key is compared, so that the time does not tell which one matches.
        for known, caller in self._callers:
            if hmac.compare_digest(digest, known):
                found = caller
        if found is None:
            raise Unauthenticated(_UNKNOWN)
        self._authorize(found, method)
        return found

    def _authorize(self, caller: Caller, method: str) -> None:
        """Raises PermissionDenied unless the caller's scopes allow the method. "x.admin" contains "x"."""
        if not caller.scopes:
            return
        # No key has a scope that is named like a method.
        scope = self._scopes.get(method, method)
        if scope not in caller.scopes and f"{scope}.admin" not in caller.scopes:
            raise PermissionDenied(scope)


def _credentials(metadata: Metadata) -> tuple[str, str]:
    """The key and the tenant in the metadata."""
    authorization = api_key = tenant = ""
    for name, value in metadata:
        if isinstance(value, bytes):
            continue
        if name == "authorization":
            authorization = value
        elif name == "x-api-key":
            api_key = value
        elif name == TENANT_HEADER:
            tenant = value
    if authorization:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthenticated(_MALFORMED)
        return key.strip(), tenant
    if not api_key:
        raise Unauthenticated(_MISSING)
    return api_key, tenant


def _tenant(name: str) -> str:
    if len(name) > 128 or not name.isprintable():
        raise InvalidRequest.of(TENANT_HEADER, "must be at most 128 printable characters.")
    return name or DEFAULT_TENANT


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _key_digest(key: ApiKeySettings) -> bytes:
    return bytes.fromhex(key.sha256) if key.sha256 else _digest(key.key.get_secret_value() if key.key else "")
