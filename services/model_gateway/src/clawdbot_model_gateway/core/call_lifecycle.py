"""What every call to a model has in common: its targets, the gate before it, and what is told at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot.plugins.v1.hook_service_pb2 import HookSubject
from clawdbot_servicekit.call_record import annotate
from clawdbot_servicekit.structs import to_struct

from clawdbot_model_gateway.core.attempts import Run
from clawdbot_model_gateway.core.hooks import BEFORE_GENERATE, GENERATION_DONE, GenerationHooks
from clawdbot_model_gateway.core.model_discovery import Directory
from clawdbot_model_gateway.core.routing import DEFAULT_ALIAS, in_order

LABELS: Final = ("session_id", "turn_id", "flow", "state")
"""Labels in a request's metadata that hooks are told, where the caller gave them."""


class Calls:
    """Begins calls.

    Args:
        directory: what names mean.
        hooks: of the points before_generate and generation_done.
        draw: uniform numbers in [0, 1), for the weights of targets.
    """

    def __init__(self, directory: Directory, hooks: GenerationHooks, draw: Callable[[], float]) -> None:
        self._directory = directory
        self._hooks = hooks
        self._draw = draw

    async def begin(self, request: GenerateRequest) -> Run:
        """The call's way through the targets; entered, it tells at its end what became of it.

        Args:
            request: checked; for a call that is no generation one with the model and the labels alone.

        Raises:
            UnknownModel: its model is not there.
            RemoteError: a hook refuses it.
        """
        targets = in_order(await self._directory.targets(request.model), self._draw)
        await self._hooks.gate(_subject(BEFORE_GENERATE, request))
        return Run(request, targets, self._done)

    def _done(self, run: Run) -> None:
        annotate(model=run.request.model or DEFAULT_ALIAS, target=run.target_name, outcome=run.outcome)
        if not self._hooks.observes(GENERATION_DONE):
            return
        subject = _subject(GENERATION_DONE, run.request)
        facts = {
            "target": run.target_name,
            "attempts": run.attempt,
            "outcome": run.outcome,
            "seconds": round(run.seconds, 6),
            "input_tokens": run.usage.input_tokens,
            "output_tokens": run.usage.output_tokens,
        }
        subject.facts.CopyFrom(to_struct(facts))
        self._hooks.observe(subject)


def _subject(point: str, request: GenerateRequest) -> HookSubject:
    subject = HookSubject(point=point, model=request.model or DEFAULT_ALIAS)
    if request.metadata:
        for label in LABELS:
            if label in request.metadata:
                setattr(subject, label, request.metadata[label])
    return subject
