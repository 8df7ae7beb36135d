"""Asks a model once, folds its answer and writes down what was asked, what came and what it cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final

from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_CANCELLED,
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_TRUNCATED,
    FinishReason,
)
from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM, Message
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.dialogue.v1.explanation_pb2 import ModelAsked
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, StreamGenerateResponse

from clawdbot_dialogue.core.turns.accumulator import Fold
from clawdbot_dialogue.core.turns.ports import GenerationRefused, ModelGateway
from clawdbot_dialogue.core.turns.turn_record import TurnRecord

UNUSABLE: Final[Mapping[FinishReason.ValueType, str]] = {
    FINISH_REASON_MODEL_ERROR: "The model produced nothing that can be used.",
    FINISH_REASON_CANCELLED: "The generation was cancelled.",
    FINISH_REASON_TRUNCATED: "The connection to the model broke before its reply was whole.",
    FINISH_REASON_CONTENT_FILTER: "The model's provider withheld the reply.",
}
"""Ends that make a reply worthless, with a sentence for the person."""


async def ask(
    gateway: ModelGateway,
    request: GenerateRequest,
    record: TurnRecord,
    *,
    offers: Mapping[str, ToolSpec] | None = None,
    show: Callable[[StreamGenerateResponse], None] | None = None,
) -> Message:
    """The model's answer.

    Args:
        gateway: Where models are reached.
        request: What to ask.
        record: Notes what it cost, and the request for whoever asks why.
        offers: Commands among the request's tools, where it is to say what a message means.
        show: Is shown each event as it comes.

    Raises:
        GenerationRefused: it did not answer, or not to the end.
    """
    told, fold, begun = _told(request, offers), Fold(), time.monotonic()
    try:
        async with aclosing(gateway.stream(request)) as events:
            async for event in events:
                fold.take(event)
                if show is not None:
                    show(event)
        if fold.finish_reason in UNUSABLE:
            reason = FinishReason.Name(fold.finish_reason).removeprefix("FINISH_REASON_")
            raise GenerationRefused(f"GENERATION_{reason}", UNUSABLE[fold.finish_reason])
    except GenerationRefused as refusal:
        told.failure = f"{refusal.reason}: {refusal.message}"
        raise
    else:
        message = fold.message()
        told.answer.CopyFrom(message)
        return message
    finally:
        record.used(fold.usage)
        told.usage.CopyFrom(fold.usage)
        told.elapsed.FromMilliseconds(round((time.monotonic() - begun) * 1000))
        record.story.asked(told)


def _told(request: GenerateRequest, offers: Mapping[str, ToolSpec] | None) -> ModelAsked:
    system = [message for message in request.messages if message.role == ROLE_SYSTEM]
    return ModelAsked(
        purpose=ModelAsked.PURPOSE_REPLY if offers is None else ModelAsked.PURPOSE_UNDERSTAND,
        model=request.model,
        instructions="\n".join(part.text for message in system for part in message.parts),
        messages=len(request.messages) - len(system),
        tools=[tool.name for tool in request.tools if tool.name not in (offers or {})],
        offers=(offers or {}).values(),
    )
