"""How long the model may think, in the words that one model or another understands.

Source: Anthropic's pages on thinking and effort: older models want a number of tokens, newer ones decide by
    themselves and take a degree; none may be forced to call a tool while it thinks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_HIGH,
    REASONING_EFFORT_LOW,
    REASONING_EFFORT_MEDIUM,
    REASONING_EFFORT_NONE,
    GenerateRequest,
    ToolChoice,
)

from clawdbot_model_gateway.formats.anthropic.models import ModelFacts

Wire = dict[str, Any]

EFFORTS: Final = {
    REASONING_EFFORT_LOW: "low",
    REASONING_EFFORT_MEDIUM: "medium",
    REASONING_EFFORT_HIGH: "high",
}
BUDGETS: Final = {
    REASONING_EFFORT_LOW: 1024,
    REASONING_EFFORT_MEDIUM: 4096,
    REASONING_EFFORT_HIGH: 16_384,
}
"""Tokens of thought, for models that want a number."""
SMALLEST_BUDGET: Final = 1024
"""The API's own."""
FORCING: Final = frozenset({ToolChoice.MODE_REQUIRED, ToolChoice.MODE_NAMED})
OFF: Final = {"type": "disabled"}
SHOWN: Final = "summarized"
"""Newer models hide their thoughts where nothing is said."""


def asks_of_the_model(request: GenerateRequest) -> bool:
    """Whether the body depends on what the model can do."""
    return bool(request.sampling.reasoning_effort) or request.tool_choice.mode in FORCING


def set_thinking(request: GenerateRequest, facts: ModelFacts, body: Wire) -> Iterator[str]:
    """Writes `thinking` and `output_config.effort`; gives the paths of what the model cannot do."""
    asked = request.sampling.reasoning_effort
    forced = bool(request.tools) and request.tool_choice.mode in FORCING
    if forced and facts.always and not facts.can_stop_thinking:
        body.pop("tool_choice", None)
        forced = False
        yield "tool_choice"
    if asked == REASONING_EFFORT_NONE or (forced and facts.always):
        if facts.can_stop_thinking:
            body["thinking"] = OFF
        else:
            yield "sampling.reasoning_effort"
    degree = EFFORTS.get(asked)
    if degree is None:
        return
    if facts.effort:
        body["output_config"] = {**body.get("output_config", {}), "effort": degree}
    thinking = None if forced else _thinking(asked, facts, body)
    if thinking is not None:
        body["thinking"] = thinking
    elif not facts.effort:
        yield "sampling.reasoning_effort"


def _thinking(asked: int, facts: ModelFacts, body: Wire) -> Wire | None:
    if facts.adaptive:
        return {"type": "adaptive", "display": SHOWN}
    # The budget is part of max_tokens, and something must be left to be said.
    budget = min(BUDGETS[asked], body["max_tokens"] // 2)  # type: ignore[index]
    if not facts.budgeted or budget < SMALLEST_BUDGET:
        return None
    return {"type": "enabled", "budget_tokens": budget, "display": SHOWN}
