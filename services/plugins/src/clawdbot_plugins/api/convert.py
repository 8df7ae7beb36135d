"""Converts between protobuf messages and the domain's types: the only module that knows both."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from typing import Final

from clawdbot.common.v1.message_pb2 import Document, Media, Part
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.plugins.v1 import hook_service_pb2 as hook_wire
from clawdbot.plugins.v1 import plugin_service_pb2 as plugin_wire
from clawdbot.plugins.v1 import tool_service_pb2 as tool_wire
from clawdbot_plugin_sdk import Attachment, Context, Partial, Progress, Subject
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest
from clawdbot_servicekit.structs import exact_json, plain_from_json, plain_from_request, to_struct
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from clawdbot_plugins.core import registry_snapshot
from clawdbot_plugins.core.hooks import GateRefusal, ModifyResult
from clawdbot_plugins.core.invocation import ToolCall
from clawdbot_plugins.core.single_flight import ToolEvent, ToolOutcome

MAX_REQUEST_ID_LENGTH: Final = 200
"""Characters of a request id."""
KEY_ID: Final = "key_id"
"""The fact of a hook's subject that names the caller's key, where another service calls for it."""

EFFECTS: Final = {
    "none": tool_wire.TOOL_EFFECT_NONE,
    "repeatable": tool_wire.TOOL_EFFECT_REPEATABLE,
    "once": tool_wire.TOOL_EFFECT_ONCE,
}
KINDS: Final = {
    "gate": hook_wire.HOOK_KIND_GATE,
    "modify": hook_wire.HOOK_KIND_MODIFY,
    "observe": hook_wire.HOOK_KIND_OBSERVE,
}


def plugin_to_wire(plugin: registry_snapshot.RegisteredPlugin) -> plugin_wire.Plugin:
    """Converts a plugin."""
    start_time = Timestamp()
    start_time.FromNanoseconds(int(plugin.start_time * 1e9))
    return plugin_wire.Plugin(
        name=plugin.name,
        version=plugin.version,
        description=plugin.description,
        runtime=plugin.runtime,
        state=plugin.state,
        tools=[tool.name for tool in plugin.tools],
        hooks=[_hook_to_wire(hook) for hook in plugin.hooks],
        start_time=start_time,
    )


def snapshot_to_wire(snapshot: registry_snapshot.RegistrySnapshot) -> plugin_wire.WatchPluginsResponse:
    """Converts a snapshot of the registry."""
    return plugin_wire.WatchPluginsResponse(
        plugins=[plugin_to_wire(plugin) for plugin in snapshot.plugins.values()], revision=snapshot.revision
    )


def tool_to_wire(tool: registry_snapshot.RegisteredTool) -> tool_wire.Tool:
    """Converts a tool, as callers and models see it."""
    return tool_wire.Tool(
        spec=ToolSpec(
            name=tool.name,
            description=tool.description,
            input_schema=to_struct(tool.input_schema.document),
            output_schema=None if tool.output_schema is None else to_struct(tool.output_schema.document),
        ),
        plugin=tool.plugin,
        effect=EFFECTS[tool.effect],
        timeout=_duration(tool.timeout),
    )


def call_from_wire(request: tool_wire.InvokeToolRequest, clock: Callable[[], float]) -> ToolCall:
    """Converts a request to run a tool, for the tenant of the current call.

    Raises:
        InvalidRequest: for invalid fields. The arguments are validated later, by the tool's schema.
    """
    violations = []
    if not request.tool:
        violations.append(FieldViolation("tool", "is required: the full name (example: clock.now)."))
    if len(request.request_id) > MAX_REQUEST_ID_LENGTH:
        violations.append(
            FieldViolation(
                "request_id",
                f"has {len(request.request_id)} characters; at most {MAX_REQUEST_ID_LENGTH} are allowed.",
            )
        )
    if not _is_time_zone(request.context.time_zone):
        violations.append(
            FieldViolation("context.time_zone", "is not an IANA time zone (example: Europe/London).")
        )
    if violations:
        raise InvalidRequest(violations)
    caller, context = current_caller(), request.context
    return ToolCall(
        request.tool,
        plain_from_json(request.arguments_json, "arguments_json")
        if request.arguments_json
        else plain_from_request(request.arguments, "arguments"),
        Context(
            request_id=request.request_id,
            tenant=caller.tenant,
            key_id=caller.key_id,
            session_id=context.session_id,
            turn_id=context.turn_id,
            flow=context.flow,
            flow_state=context.state,
            locale=context.locale,
            time_zone=context.time_zone or "UTC",
            clock=clock,
        ),
    )


def tool_event_to_wire(event: ToolEvent) -> tool_wire.InvokeToolResponse:
    """Converts one event of a call."""
    if isinstance(event, ToolOutcome):
        structured = None if event.structured is None else to_struct(event.structured)
        return tool_wire.InvokeToolResponse(
            result=tool_wire.ToolOutcome(
                content=[
                    *([Part(text=event.text)] if event.text else ()),
                    *map(_attachment_to_wire, event.attachments),
                ],
                structured=structured,
                structured_json="" if structured is None else exact_json(event.structured or {}, structured),
                is_error=event.is_error,
            )
        )
    if isinstance(event, Partial):
        return tool_wire.InvokeToolResponse(partial=Part(text=event.text))
    return tool_wire.InvokeToolResponse(progress=_progress(event))


def _attachment_to_wire(attachment: Attachment) -> Part:
    kind = attachment.media_type.partition("/")[0].lower()
    if kind in ("image", "audio"):
        media = Media(data=attachment.data, media_type=attachment.media_type)
        return Part(image=media) if kind == "image" else Part(audio=media)
    return Part(
        document=Document(data=attachment.data, media_type=attachment.media_type, title=attachment.title)
    )


def subject_from_wire(subject: hook_wire.HookSubject) -> Subject:
    """Converts what a hook is about.

    Raises:
        InvalidRequest: the point is missing, or a fact is not a finite number.
    """
    if not subject.point:
        raise InvalidRequest.of("subject.point", "is required (example: before_turn).")
    return Subject(
        subject.point,
        session_id=subject.session_id,
        turn_id=subject.turn_id,
        flow=subject.flow,
        state=subject.state,
        model=subject.model,
        tool=subject.tool,
        facts=plain_from_request(subject.facts, "subject.facts"),
    )


def hook_context(subject: Subject, clock: Callable[[], float]) -> Context:
    """Who a hook runs for. A calling service passes on the API key of its own caller in the facts."""
    caller = current_caller()
    return Context(
        tenant=caller.tenant,
        key_id=str(subject.facts.get(KEY_ID, "")) if caller.service else caller.key_id,
        session_id=subject.session_id,
        turn_id=subject.turn_id,
        flow=subject.flow,
        flow_state=subject.state,
        clock=clock,
    )


def gate_result_to_wire(refused: GateRefusal | None) -> hook_wire.GateResponse:
    """Converts the answer of the gates."""
    if refused is None:
        return hook_wire.GateResponse(allowed=True)
    refusal = refused.refusal
    return hook_wire.GateResponse(
        plugin=refused.plugin,
        reason=refusal.reason,
        message=refusal.message,
        retry_after=None if refusal.retry_after is None else _duration(refusal.retry_after),
    )


def modify_result_to_wire(modified: ModifyResult) -> hook_wire.ModifyResponse:
    """Converts the payload after the modify hooks."""
    return hook_wire.ModifyResponse(payload=to_struct(modified.payload), modified_by=modified.modified_by)


def _hook_to_wire(hook: registry_snapshot.RegisteredHook) -> hook_wire.HookRegistration:
    return hook_wire.HookRegistration(
        point=hook.point,
        kind=KINDS[hook.kind],
        priority=hook.priority,
        timeout=_duration(hook.timeout),
        failure_policy=hook_wire.FAILURE_POLICY_CLOSED
        if hook.fails_closed
        else hook_wire.FAILURE_POLICY_OPEN,
        max_in_flight=hook.max_in_flight,
    )


def _progress(progress: Progress) -> tool_wire.ToolProgress:
    return tool_wire.ToolProgress(fraction=progress.fraction, message=progress.message)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _is_time_zone(name: str) -> bool:
    try:
        return not name or zoneinfo.ZoneInfo(name).key == name
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        # An absolute path raises ValueError, a folder of the time zone database OSError.
        return False
