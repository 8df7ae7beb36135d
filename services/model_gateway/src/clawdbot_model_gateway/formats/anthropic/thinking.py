"""Encodes how long the model may think, in the fields that the model understands.

Source: Anthropic's pages on thinking and effort: older models take a number of tokens, newer ones decide by
    themselves and take a degree; none may be forced to call a tool while it thinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_HIGH,
    REASONING_EFFORT_LOW,
    REASONING_EFFORT_MEDIUM,
    REASONING_EFFORT_NONE,
    GenerateRequest,
    ToolChoice,
)

from clawdbot_model_gateway.formats.anthropic.models import ModelProfile
from clawdbot_model_gateway.formats.efforts import DEGREES

JsonObject = dict[str, Any]

THINKING_BUDGETS: Final = {
    REASONING_EFFORT_LOW: 1024,
    REASONING_EFFORT_MEDIUM: 4096,
    REASONING_EFFORT_HIGH: 16_384,
}
"""Tokens of thinking, for models that take a number."""
MIN_THINKING_BUDGET: Final = 1024
"""The API's own minimum."""
FORCED_TOOL_MODES: Final = frozenset({ToolChoice.MODE_REQUIRED, ToolChoice.MODE_NAMED})
THINKING_DISABLED: Final = {"type": "disabled"}
THINKING_DISPLAY: Final = "summarized"
"""Newer models hide their thinking unless a display is set."""
MIN_TOP_P: Final = 0.95
"""The least that a request to think may have."""


REFUSED_WHILE_THINKING: Final[Mapping[str, Callable[[Any], bool]]] = {
    "temperature": lambda value: value != 1,
    "top_p": lambda value: not isinstance(value, int | float) or value < MIN_TOP_P,
    "top_k": lambda _: True,
}
"""Field → which of its values a request to think may not have."""


def thinks(body: JsonObject) -> bool:
    """Whether a body asks the model to think."""
    thinking = body.get("thinking")
    return isinstance(thinking, Mapping) and thinking.get("type") in {"adaptive", "enabled"}


def take_refused(body: JsonObject) -> list[str]:
    """Removes what a request to think may not have; returns the names."""
    if not thinks(body):
        return []
    refused = [name for name, test in REFUSED_WHILE_THINKING.items() if name in body and test(body[name])]
    for name in refused:
        del body[name]
    return refused


def needs_profile(request: GenerateRequest) -> bool:
    """Whether the body depends on what the model can do."""
    return bool(request.sampling.reasoning_effort) or request.tool_choice.mode in FORCED_TOOL_MODES


def encode_thinking(
    request: GenerateRequest, profile: ModelProfile, body: JsonObject, *, thought_first: bool
) -> Iterator[str]:
    """Sets `thinking` and `output_config.effort`; yields the paths of what the model does not support.

    Args:
        request: the request.
        profile: what the model can do.
        body: where they are set.
        thought_first: whether the calls that wait for an answer follow thinking. Those that another model or
            a flow made do not, and a model with a budget of thinking refuses them.
    """
    effort = request.sampling.reasoning_effort
    forced = bool(request.tools) and request.tool_choice.mode in FORCED_TOOL_MODES
    if forced and profile.thinks_by_default and not profile.can_disable_thinking:
        body.pop("tool_choice", None)
        forced = False
        yield "tool_choice"
    if effort == REASONING_EFFORT_NONE or (forced and profile.thinks_by_default):
        if profile.can_disable_thinking:
            body["thinking"] = THINKING_DISABLED
        else:
            yield "sampling.reasoning_effort"
    degree = DEGREES.get(effort)
    if degree is None:
        return
    if profile.supports_effort:
        body["output_config"] = {**body.get("output_config", {}), "effort": degree}
    refused = forced or not (thought_first or profile.adaptive_thinking)
    thinking = None if refused else _thinking(effort, profile, body)
    if thinking is not None:
        body["thinking"] = thinking
    elif not (profile.supports_effort and thought_first):
        yield "sampling.reasoning_effort"


def _thinking(effort: int, profile: ModelProfile, body: JsonObject) -> JsonObject | None:
    if profile.adaptive_thinking:
        return {"type": "adaptive", "display": THINKING_DISPLAY}
    # The budget is part of max_tokens, and something must be left for the reply itself.
    budget = min(THINKING_BUDGETS[effort], body["max_tokens"] // 2)  # type: ignore[index]
    if not profile.budgeted_thinking or budget < MIN_THINKING_BUDGET:
        return None
    return {"type": "enabled", "budget_tokens": budget, "display": THINKING_DISPLAY}
