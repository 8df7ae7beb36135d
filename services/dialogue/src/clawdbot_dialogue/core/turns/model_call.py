"""Calls a model once, accumulates its reply and records the call, its usage and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
from clawdbot.dialogue.v1.explanation_pb2 import ModelCall
from clawdbot.dialogue.v1.turn_pb2 import Turn
from clawdbot.model_gateway.v1.generation_pb2 import (
    PRIORITY_INTERACTIVE,
    GenerateRequest,
    StreamGenerateRequest,
    StreamGenerateResponse,
)
from clawdbot_model_client.accumulator import ReplyAccumulator
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.structs import TOO_DEEP, path_too_deep, plain_from_json

from clawdbot_dialogue.core.turns.ports import GenerationError, ModelGateway
from clawdbot_dialogue.core.turns.turn_record import TurnRecord

UNUSABLE_REPLIES: Final[Mapping[FinishReason.ValueType, str]] = {
    FINISH_REASON_MODEL_ERROR: "The model's output cannot be used.",
    FINISH_REASON_CANCELLED: "The generation was cancelled.",
    FINISH_REASON_TRUNCATED: "The connection to the model broke in the middle of its reply.",
    FINISH_REASON_CONTENT_FILTER: "The model's provider withheld the reply.",
}
"""Finish reasons that make a reply unusable, with a sentence about each."""


def new_request(turn: Turn, model: str, request_id: str) -> StreamGenerateRequest:
    """Returns a request to fill in place: a request that was built apart would be copied.

    Args:
        turn: The turn that it is made in.
        model: The model.
        request_id: Unique in the turn, and the same in every attempt.
    """
    wire_request = StreamGenerateRequest()
    request = wire_request.request
    request.model = model
    request.priority = PRIORITY_INTERACTIVE
    request.request_id = f"{turn.id}/{request_id}"
    request.metadata["session_id"] = turn.session_id
    request.metadata["turn_id"] = turn.id
    return wire_request


async def call_model(
    gateway: ModelGateway,
    request: StreamGenerateRequest,
    record: TurnRecord,
    *,
    offers: Mapping[str, ToolSpec] | None = None,
    show: Callable[[StreamGenerateResponse], None] | None = None,
) -> Message:
    """Calls the model and returns its reply.

    Args:
        gateway: The model gateway.
        request: The request to send.
        record: Takes the usage, and the call for the explanation.
        offers: The commands among the request's tools, by name, when the model is to generate commands.
        show: Called with each event of the stream.

    Raises:
        GenerationError: the model gave no reply, or an incomplete one.
    """
    call, accumulator, start = _model_call(request.request, offers), ReplyAccumulator(), time.monotonic()

    def take(event: StreamGenerateResponse) -> None:
        accumulator.add(event)
        if show is not None:
            show(event)

    try:
        await gateway.stream(request, take)
        reply = accumulator.reply()
        if reply.finish_reason in UNUSABLE_REPLIES:
            reason = FinishReason.Name(reply.finish_reason).removeprefix("FINISH_REASON_")
            raise GenerationError(f"GENERATION_{reason}", UNUSABLE_REPLIES[reply.finish_reason])
        _check_arguments(reply.message)
    except GenerationError as error:
        call.error = f"{error.reason}: {error.message}"
        raise
    else:
        call.reply.CopyFrom(reply.message)
        return reply.message
    finally:
        usage = accumulator.reply().usage
        record.usage_reported(usage)
        call.usage.CopyFrom(usage)
        call.elapsed.FromMilliseconds(round((time.monotonic() - start) * 1000))
        record.explanation.add_model_call(call)


def _check_arguments(message: Message) -> None:
    """Refuses a call that would be stored with the turn but could not be read again."""
    for part in message.parts:
        if part.HasField("tool_call"):
            call = part.tool_call
            path = path_too_deep(call.arguments, "arguments")
            if path is not None:
                raise GenerationError(
                    "GENERATION_ARGUMENTS_TOO_DEEP", f"In the model's call, {path} {TOO_DEEP}"
                )
            if call.arguments_json:
                try:
                    plain_from_json(call.arguments_json, "arguments_json")
                except InvalidRequest as error:
                    raise GenerationError("GENERATION_MODEL_ERROR", f"In the model's call, {error}") from None


def _model_call(request: GenerateRequest, offers: Mapping[str, ToolSpec] | None) -> ModelCall:
    system = [message for message in request.messages[:1] if message.role == ROLE_SYSTEM]
    return ModelCall(
        purpose=ModelCall.PURPOSE_REPLY if offers is None else ModelCall.PURPOSE_COMMANDS,
        model=request.model,
        instructions="\n".join(part.text for message in system for part in message.parts),
        message_count=len(request.messages) - len(system),
        tools=[tool.name for tool in request.tools if tool.name not in (offers or {})],
        offered_commands=(offers or {}).values(),
    )
