"""The limits as they are configured, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from clawdbot_servicekit.caller import Caller

from clawdbot_model_gateway.core.limits.windows import Rate

Kind = Literal["requests", "tokens", "cost", "concurrent"]


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit."""

    kind: Kind
    amount: int
    rate: Rate | None = None
    """None: of calls at the same time."""

    @property
    def window(self) -> str:
        """Its window; empty for calls at the same time."""
        return self.rate.window if self.rate else ""


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits of an installation, a tenant or a key."""

    limits: Sequence[Limit] = ()
    models: Mapping[str, Sequence[Limit]] = field(default_factory=dict)
    """Alias or target → more limits."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a limit is."""

    level: str
    """installation, tenant or key."""
    name: str
    """Of the tenant or the key; empty for the installation, and for callers without a key."""
    tenant: str
    """Of the caller."""

    @property
    def bucket(self) -> str:
        """Names it in buckets. A key belongs to its tenant, as services call for many."""
        return (
            f"{self.level}|{self.tenant}|{self.name}" if self.level == "key" else f"{self.level}|{self.name}"
        )


@dataclass(frozen=True, slots=True)
class Quotas:
    """All limits. A tenant or a key that is named has the limits of its name, and not those of the others."""

    installation: Quota = Quota()
    tenant: Quota = Quota()
    tenants: Mapping[str, Quota] = field(default_factory=dict)
    key: Quota = Quota()
    keys: Mapping[str, Quota] = field(default_factory=dict)

    def of(self, caller: Caller) -> Iterator[tuple[Owner, Quota]]:
        """The limits that apply to a caller. The gateway's own calls have no tenant, and no limits of one."""
        tenant, key = caller.tenant, caller.key_id
        yield Owner("installation", "", tenant), self.installation
        if not tenant:
            return
        yield Owner("tenant", tenant, tenant), self.tenants.get(tenant, self.tenant)
        yield Owner("key", key, tenant), self.keys.get(key, self.key)

    @property
    def kinds(self) -> set[Kind]:
        """What is limited."""
        return {
            limit.kind
            for quota in self._every
            for limits in (quota.limits, *quota.models.values())
            for limit in limits
        }

    @property
    def models(self) -> set[str]:
        """The aliases and targets that have limits of their own."""
        return {name for quota in self._every for name in quota.models}

    @property
    def _every(self) -> list[Quota]:
        return [self.installation, self.tenant, *self.tenants.values(), self.key, *self.keys.values()]
