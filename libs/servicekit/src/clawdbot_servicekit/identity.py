"""Who calls, by the key that it shows, and whether the key is good for the method.

Keys come from the configuration, are kept as SHA-256 and compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from clawdbot_servicekit.caller import DEFAULT_TENANT, Caller
from clawdbot_servicekit.errors import InvalidRequest, PermissionDenied, Unauthenticated
from clawdbot_servicekit.settings.shared import ApiKeySettings, AuthSettings

TENANT_HEADER: Final = "x-clawdbot-tenant"
"""For whom a service calls; it counts only beside the service token."""

SCOPES: Final = {
    "/clawdbot.dialogue.v1.DialogueService/": "dialogue",
    "/clawdbot.dialogue.v1.FlowService/": "dialogue",
    "/clawdbot.dialogue.v1.FlowService/DeployFlow": "dialogue.admin",
    "/clawdbot.model_gateway.v1.ModelGatewayService/": "models",
    "/clawdbot.model_gateway.v1.ModelAdminService/": "models.admin",
    "/clawdbot.model_gateway.v1.ModelAdminService/ListModels": "models",
    "/clawdbot.model_gateway.v1.ModelAdminService/GetModel": "models",
    "/clawdbot.plugins.v1.PluginService/": "plugins",
    "/clawdbot.plugins.v1.PluginService/InstallPlugin": "plugins.admin",
    "/clawdbot.plugins.v1.PluginService/UpgradePlugin": "plugins.admin",
    "/clawdbot.plugins.v1.PluginService/UninstallPlugin": "plugins.admin",
    "/clawdbot.plugins.v1.PluginService/EnablePlugin": "plugins.admin",
    "/clawdbot.plugins.v1.PluginService/DisablePlugin": "plugins.admin",
    "/clawdbot.plugins.v1.ToolService/": "tools",
    "/clawdbot.plugins.v1.HookService/": "hooks",
}
"""Method, or all methods of a service → the scope that a key needs. "x.admin" contains "x". What is not
listed needs a key without limits."""

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
            (_digest_of(key), Caller(tenant=key.tenant, key_id=key.id, scopes=key.scopes))
            for key in auth.keys
        ]
        token = auth.service_token
        self._service = _digest(token.get_secret_value()) if token else None
        self._open = not self._callers and self._service is None
        self._anonymous = Caller()

    def identify(self, metadata: Metadata, method: str) -> Caller:
        """Whom the call is made for.

        Args:
            metadata: the call's headers, lower-case names.
            method: "/package.Service/Method".

        Raises:
            Unauthenticated: for a missing, malformed or unknown key. The sentence never contains the key.
            PermissionDenied: for a key that lacks the scope of the method.
        """
        if self._open or method.startswith(EXEMPT):
            return self._anonymous
        shown, tenant = _credentials(metadata)
        digest = _digest(shown)
        if self._service is not None and hmac.compare_digest(digest, self._service):
            return Caller(tenant=_tenant(tenant), key_id="service", service=True)
        found: Caller | None = None
        # Every key is compared, so that the time tells nothing about which one fits.
        for known, caller in self._callers:
            if hmac.compare_digest(digest, known):
                found = caller
        if found is None:
            raise Unauthenticated(_UNKNOWN)
        authorise(found, method)
        return found


def authorise(caller: Caller, method: str) -> None:
    """Raises PermissionDenied unless the caller may call the method."""
    if not caller.scopes:
        return
    needed = scope_of(method)
    if needed not in caller.scopes and f"{needed}.admin" not in caller.scopes:
        raise PermissionDenied(needed)


def scope_of(method: str) -> str:
    """The scope that the method needs; its own name, which no key has, where the table does not know it."""
    service = method[: method.rfind("/") + 1]
    return SCOPES.get(method) or SCOPES.get(service) or method


def _credentials(metadata: Metadata) -> tuple[str, str]:
    """The key and the tenant that the metadata bear."""
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


def _digest_of(key: ApiKeySettings) -> bytes:
    return bytes.fromhex(key.sha256) if key.sha256 else _digest(key.key.get_secret_value() if key.key else "")
