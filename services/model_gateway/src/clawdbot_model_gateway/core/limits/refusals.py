"""What a caller is told whom a limit refuses."""

from __future__ import annotations

import time
from typing import Final

from clawdbot_model_gateway.core.limits.limit_store import Charge, Full
from clawdbot_model_gateway.core.limits.quotas import Kind, Limit, Owner

RUNNING_RETRY: Final = 1.0
"""Seconds after which a caller may try again who waits for the end of running calls."""


class LimitReached(Exception):
    """A limit does not allow the call."""

    def __init__(
        self,
        reason: str,
        quota_subject: str,
        explanation: str,
        *,
        limit: str,
        window: str,
        retry_after: float | None,
    ) -> None:
        """A refused call.

        Args:
            reason: LIMIT_REACHED, or BUDGET_SPENT for money.
            quota_subject: whose limit it is: "tenant:acme".
            explanation: a sentence for the caller.
            limit: what is limited: "tokens".
            window: of the limit: "day"; empty for calls at the same time.
            retry_after: seconds until there is room; None: waiting does not help.
        """
        self.reason = reason
        self.quota_subject = quota_subject
        self.explanation = explanation
        self.limit = limit
        self.window = window
        self.retry_after = retry_after
        super().__init__(explanation)


class LimitsUnavailable(Exception):
    """The store of limits is down, and the policy is to refuse calls then."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


def refusal(owner: Owner, limit: Limit, charge: Charge, full: Full, now: float) -> LimitReached:
    """The error for a bucket without room.

    Args:
        owner: whose limit it is.
        limit: which.
        charge: what the call needs.
        full: what is used and reserved of the bucket.
        now: seconds since 1970.
    """
    allowed, needed = _shown(limit.kind, limit.amount), _shown(limit.kind, charge.least)
    whom = f"the {owner.level} {owner.name}" if owner.name else f"this {owner.level}"
    per = f" per {limit.window}" if limit.window else " at the same time"
    reason = "BUDGET_SPENT" if limit.kind == "cost" else "LIMIT_REACHED"
    retry_after: float | None
    if not limit.amount and not limit.window:
        retry_after = None
        explanation = (
            f"{whom[0].upper()}{whom[1:]} may not make calls: its limit on calls at the same time is 0."
        )
    elif charge.least > limit.amount:
        retry_after = None
        advice = "Waiting does not help: send less, or lower max_tokens."
        explanation = f"This call needs {needed}, and {whom} may use {allowed}{per}. {advice}"
    elif not limit.window:
        retry_after = RUNNING_RETRY
        explanation = f"{whom[0].upper()}{whom[1:]} may have {allowed}{per}, and has them."
    elif full.used + charge.least <= limit.amount:
        # What is spent leaves room for it.
        reason, retry_after = "LIMIT_REACHED", RUNNING_RETRY
        explanation = (
            f"Of {allowed}{per} {whom} has used {_shown(limit.kind, full.used)}, and running calls have "
            f"reserved {_shown(limit.kind, full.total - full.used)}; this call needs {needed}. "
            "Try again when some of them have ended; with max_tokens a call reserves no more than that."
        )
    else:
        retry_after = max(0.0, charge.ends - now)
        resets = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(charge.ends))
        explanation = (
            f"Of {allowed}{per} {whom} has used or reserved {_shown(limit.kind, full.total)}, "
            f"and this call needs {needed}. The limit resets at {resets} UTC."
        )
    return LimitReached(
        reason,
        f"{owner.level}:{owner.name}" if owner.name else owner.level,
        explanation,
        limit=limit.kind,
        window=limit.window,
        retry_after=retry_after,
    )


def _shown(kind: Kind, amount: int) -> str:
    if kind == "cost":
        return f"${amount / 1e6:.6f}".rstrip("0").rstrip(".")
    unit = "calls" if kind == "concurrent" else kind
    return f"{amount} {unit if amount != 1 else unit[:-1]}"
