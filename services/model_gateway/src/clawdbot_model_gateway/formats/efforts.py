"""How much a model is asked to reason: the degrees that vendors share, and one rule for OpenAI's two APIs."""

from __future__ import annotations

import re
from typing import Final

from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_HIGH,
    REASONING_EFFORT_LOW,
    REASONING_EFFORT_MEDIUM,
    REASONING_EFFORT_NONE,
    REASONING_EFFORT_UNSPECIFIED,
    GenerateRequest,
    Warning,  # noqa: A004 - the contract's name
)

from clawdbot_model_gateway.core.supported_fields import NOT_SUPPORTED, enforce_strict

NO_EFFORT: Final = "none"
DEGREES: Final = {
    REASONING_EFFORT_LOW: "low",
    REASONING_EFFORT_MEDIUM: "medium",
    REASONING_EFFORT_HIGH: "high",
}
EFFORTS: Final = {REASONING_EFFORT_NONE: NO_EFFORT, **DEGREES}
LEAST_EFFORTS: Final = (
    (re.compile(r"gpt-5-pro"), "high"),
    (re.compile(r"(ft:)?gpt-5(-mini|-nano)?(-\d{4}|$)"), "minimal"),
    (re.compile(r"(ft:)?(o\d|codex|gpt-(5(?!\.)|[6-9]|\d\d))"), "low"),
)
"""Beginning of the name of OpenAI's models that cannot be told not to reason → the least that they can be
told."""


def effort_of(request: GenerateRequest, model: str, *, some_always_reason: bool) -> str | None:
    """The effort to ask a model for; None if the request does not say.

    Args:
        request: the request.
        model: the vendor's name of the model.
        some_always_reason: whether the model is one of a kind of which some do, as OpenAI's that reason.
    """
    asked = request.sampling.reasoning_effort
    if asked == REASONING_EFFORT_UNSPECIFIED:
        return None
    effort = EFFORTS.get(asked, "medium")
    if effort != NO_EFFORT or not some_always_reason:
        return effort
    name = model.rpartition("/")[2]
    return next((least for names, least in LEAST_EFFORTS if names.match(name)), effort)


def least_effort_warnings(
    request: GenerateRequest, effort: str | None, model: str, provider: str
) -> list[Warning]:
    """A warning if the request asks for no reasoning, and the effort is another one.

    Raises:
        InvalidRequest: when the request is strict and there is one.
    """
    if request.sampling.reasoning_effort != REASONING_EFFORT_NONE or effort in {None, NO_EFFORT}:
        return []
    message = f"{model} of {provider} always reasons: it is asked for as little as it can."
    warning = Warning(code=NOT_SUPPORTED, field="sampling.reasoning_effort", message=message)
    return enforce_strict(request, [warning])
