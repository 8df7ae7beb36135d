"""Identifies the caller of a call by its API key, and checks that the key's scopes allow the method.

Keys come from the configuration. They are kept as SHA-256 and compared in constant time. Without keys
everybody may call, but only callers on this machine may change the installation.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable
from typing import Final

from clawdbot_servicekit.caller import DEFAULT_TENANT, TENANT, TENANT_PATTERN, Caller
from clawdbot_servicekit.errors import InvalidRequest, LocalOnly, PermissionDenied, Unauthenticated
from clawdbot_servicekit.method_options import method_scopes
from clawdbot_servicekit.settings.shared import AuthSettings, secret_digest
from clawdbot_servicekit.sockets import is_local_peer

TENANT_HEADER: Final = "x-clawdbot-tenant"
"""The tenant that a service calls for. It counts only with the service token."""

EXEMPT: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""Prefixes of methods that need no key: probes, and reflection where it is on."""

ADMIN: Final = ".admin"
"""The end of scopes whose methods change the installation."""

_TENANT: Final = re.compile(TENANT_PATTERN)
_MISSING: Final = "This server needs a key: send it as `authorization: Bearer KEY` or as `x-api-key: KEY`."
_UNKNOWN: Final = "The key is not one of this server's keys."
_MALFORMED: Final = "The authorization header must read `Bearer KEY`."

Metadata = Iterable[tuple[str, str | bytes]]


class Identity:
    """Turns the metadata of a call into its caller."""

    def __init__(self, auth: AuthSettings) -> None:
        self._keys = [
            (key.digest(), Caller(tenant=key.tenant, key_id=key.id), _with_contained(key.scopes))
            for key in auth.keys
        ]
        self._service = auth.token_digest()
        self._open = not auth.requires_key()
        self._anonymous = Caller()
        self._scopes: dict[str, str] = {}
        self._for_everybody: set[str] = set()

    def register(self, services: Iterable[str]) -> None:
        """Reads from the contracts which scopes the methods of these services need.

        A method that names none is for no key, only for services and, without keys, for this machine.

        Args:
            services: full names of gRPC services.
        """
        scopes = method_scopes(services)
        self._scopes |= scopes
        self._for_everybody |= {method for method, scope in scopes.items() if not scope.endswith(ADMIN)}

    def identify(self, metadata: Metadata, method: str, peer: Callable[[], str]) -> Caller:
        """The caller that the call is made for.

        Args:
            metadata: the call's headers, lower-case names.
            method: "/package.Service/Method".
            peer: returns the other end of the connection, in gRPC's notation; headers do not count.

        Raises:
            Unauthenticated: for a missing, malformed or unknown key. The message never contains the key.
            PermissionDenied: for a key that lacks the scope of the method.
            LocalOnly: for an admin call from another machine, while there are no keys.
        """
        if (self._open and method in self._for_everybody) or method.startswith(EXEMPT):
            return self._anonymous
        if self._open:
            if not is_local_peer(peer()):
                raise LocalOnly(self._scope(method))
            return self._anonymous
        key, tenant = _credentials(metadata)
        digest = secret_digest(key)
        if self._service is not None and hmac.compare_digest(digest, self._service):
            return Caller(tenant=_tenant(tenant), key_id="service", service=True)
        found: tuple[Caller, frozenset[str]] | None = None
        # Every key is compared, so that the time does not tell which one matches.
        for known, caller, scopes in self._keys:
            if hmac.compare_digest(digest, known):
                found = caller, scopes
        if found is None:
            raise Unauthenticated(_UNKNOWN)
        caller, scopes = found
        if self._scope(method) not in scopes:
            raise PermissionDenied(self._scope(method))
        return caller

    def _scope(self, method: str) -> str:
        """The scope of a method; without one its own name, which no key has."""
        return self._scopes.get(method, method)


def _with_contained(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes, and those that they contain: "x.admin" contains "x"."""
    return frozenset(name for each in scopes for name in (each, each.removesuffix(ADMIN)))


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
    if name and not _TENANT.fullmatch(name):
        raise InvalidRequest.of(TENANT_HEADER, f"must be {TENANT}.")
    return name or DEFAULT_TENANT
