"""What every call to a model has in common: its targets, the gate before it, and the report at its end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from clawdbot.model_gateway.v1.generation_pb2 import CACHE_STATUS_BYPASS, CacheStatus, GenerateRequest
from clawdbot.plugins.v1.hook_service_pb2 import HookSubject
from clawdbot_servicekit.call_record import annotate
from clawdbot_servicekit.structs import to_struct

from clawdbot_model_gateway.core.attempts import RequestAttempts
from clawdbot_model_gateway.core.hooks import BEFORE_GENERATE, GENERATION_DONE, GenerationHooks
from clawdbot_model_gateway.core.limits.call_accounts import CallAccounts, UsesCache
from clawdbot_model_gateway.core.limits.limits import Admission
from clawdbot_model_gateway.core.routing.router import Router
from clawdbot_model_gateway.core.routing.routing_table import DEFAULT_ALIAS

CACHE_STATUSES: Final = {number: name.removeprefix("CACHE_STATUS_") for name, number in CacheStatus.items()}
HOOK_LABELS: Final = ("session_id", "turn_id", "flow", "state")
"""Labels of a request's metadata that hooks receive, where the caller set them."""


class CallLifecycle:
    """Starts calls and reports how they ended.

    Args:
        router: resolves names to targets.
        hooks: runs the points before_generate and generation_done.
        draw: uniform numbers in [0, 1), for the weights of targets.
        accounts: limits calls and counts what they have used; None: nothing does.
    """

    def __init__(
        self,
        router: Router,
        hooks: GenerationHooks,
        draw: Callable[[], float],
        accounts: CallAccounts | None = None,
    ) -> None:
        self._accounts = accounts
        self._router = router
        self._hooks = hooks
        self._draw = draw

    async def start(
        self,
        request: GenerateRequest,
        uses_cache: UsesCache | None = None,
        input_tokens: Callable[[], int] | None = None,
    ) -> RequestAttempts:
        """The call's attempts. Leaving them as a context manager reports the outcome to log and hooks.

        Args:
            request: a validated request. For a call that does not generate: one with model and labels only.
            uses_cache: whether the cache may have the reply; None: it never has.
            input_tokens: estimates them; None: by the request's messages and tools.

        Raises:
            UnknownModel: its model does not exist.
            RemoteError: a hook refuses it.
            LimitReached: a limit does not allow it.
            LimitsUnavailable: nothing can be counted, and the policy is to refuse calls then.
        """
        targets = await self._router.route(request, self._draw)
        if self._hooks.gates(BEFORE_GENERATE):
            await self._hooks.gate(_subject(BEFORE_GENERATE, request))
        if self._accounts is None:
            return RequestAttempts(request, targets, partial(self._report, None))
        targets, admission = await self._accounts.admit(request, targets, input_tokens, uses_cache)
        attempts = RequestAttempts(request, targets, partial(self._report, admission))
        self._accounts.begin(attempts)
        if admission is not None:
            attempts.reserve = self._accounts.reserving(admission)
        return attempts

    def _report(self, admission: Admission | None, attempts: RequestAttempts) -> None:
        if self._accounts is not None:
            self._accounts.settle(attempts, admission)
        if admission is not None and admission.refused is not None:
            return  # as if it had been refused at once
        for each in attempts.made:
            self._router.backend_of(each.target).traffic.count(each)
        last = attempts.last
        fields: dict[str, object] = {
            "model": attempts.request.model or DEFAULT_ALIAS,
            "target": last.target_name,
            "outcome": attempts.outcome,
        }
        if last.first_content is not None:
            fields["first_content_ms"] = round(last.first_content * 1000, 1)
        if last.cache_status != CACHE_STATUS_BYPASS:
            fields["cache"] = CACHE_STATUSES[last.cache_status]
        annotate(**fields)
        if not self._hooks.observes(GENERATION_DONE):
            return
        subject = _subject(GENERATION_DONE, attempts.request)
        facts: dict[str, object] = {
            "target": last.target_name,
            "attempts": len(attempts.made),
            "outcome": attempts.outcome,
            "seconds": round(attempts.seconds, 6),
            "input_tokens": attempts.usage.input_tokens,
            "output_tokens": attempts.usage.output_tokens,
        }
        if last.cache_status != CACHE_STATUS_BYPASS:
            facts["cache_status"] = CACHE_STATUSES[last.cache_status]
        subject.facts.CopyFrom(to_struct(facts))
        self._hooks.observe(subject)


def _subject(point: str, request: GenerateRequest) -> HookSubject:
    subject = HookSubject(point=point, model=request.model or DEFAULT_ALIAS)
    if request.metadata:
        for label in HOOK_LABELS:
            if label in request.metadata:
                setattr(subject, label, request.metadata[label])
    return subject
