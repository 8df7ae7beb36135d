"""Between the wire's messages and the domain's own: the only place that knows both."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Mapping
from typing import Final

from clawdbot.common.v1.message_pb2 import Document, Media, Part
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.plugins.v1 import hook_service_pb2 as hook_wire
from clawdbot.plugins.v1 import plugin_service_pb2 as plugin_wire
from clawdbot.plugins.v1 import tool_service_pb2 as tool_wire
from clawdbot_plugin_sdk import Attachment, Context, Partial, Progress, Subject
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest
from clawdbot_servicekit.structs import given, to_struct
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from clawdbot_plugins.core import registry_snapshot
from clawdbot_plugins.core.hooks import Modified, Refused
from clawdbot_plugins.core.invocation import Call
from clawdbot_plugins.core.single_flight import News, Outcome

LONGEST_ID: Final = 200
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


def plugin_to_wire(plugin: registry_snapshot.Plugin) -> plugin_wire.Plugin:
    """A plugin as callers see it."""
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


def snapshot_to_wire(snapshot: registry_snapshot.Snapshot) -> plugin_wire.WatchPluginsResponse:
    """The registry at one moment."""
    return plugin_wire.WatchPluginsResponse(
        plugins=[plugin_to_wire(plugin) for plugin in snapshot.plugins.values()], revision=snapshot.revision
    )


def tool_to_wire(tool: registry_snapshot.Tool) -> tool_wire.Tool:
    """A tool as callers, and models, see it."""
    return tool_wire.Tool(
        spec=ToolSpec(
            name=tool.name,
            description=tool.description,
            input_schema=to_struct(tool.input.document),
            output_schema=None if tool.output is None else to_struct(tool.output.document),
        ),
        plugin=tool.plugin,
        effect=EFFECTS[tool.effect],
        timeout=_duration(tool.timeout),
    )


def call_from_wire(request: tool_wire.InvokeToolRequest, clock: Callable[[], float]) -> Call:
    """What a caller asks for, on behalf of the running call's tenant.

    Raises:
        InvalidRequest: for fields that do not fit; the arguments are the tool's to judge.
    """
    wrong = []
    if not request.tool:
        wrong.append(FieldViolation("tool", "is missing: the full name, such as clock.now."))
    if len(request.request_id) > LONGEST_ID:
        wrong.append(FieldViolation("request_id", f"must be at most {LONGEST_ID} characters."))
    if not _is_zone(request.context.time_zone):
        wrong.append(
            FieldViolation("context.time_zone", "is not the name of a time zone, such as Europe/London.")
        )
    if wrong:
        raise InvalidRequest(wrong)
    caller, context = current_caller(), request.context
    return Call(
        request.tool,
        given(request.arguments, "arguments"),
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


def news_to_wire(news: News) -> tool_wire.InvokeToolResponse:
    """One event of a call."""
    if isinstance(news, Outcome):
        return tool_wire.InvokeToolResponse(
            result=tool_wire.ToolOutcome(
                content=[
                    *([Part(text=news.text)] if news.text else ()),
                    *map(_attached, news.attachments),
                ],
                structured=None if news.structured is None else to_struct(news.structured),
                is_error=news.is_error,
            )
        )
    if isinstance(news, Partial):
        return tool_wire.InvokeToolResponse(partial=Part(text=news.text))
    return tool_wire.InvokeToolResponse(progress=_progress(news))


def _attached(each: Attachment) -> Part:
    kind = each.media_type.partition("/")[0].lower()
    if kind in ("image", "audio"):
        media = Media(data=each.data, media_type=each.media_type)
        return Part(image=media) if kind == "image" else Part(audio=media)
    return Part(document=Document(data=each.data, media_type=each.media_type, title=each.title))


def subject_from_wire(subject: hook_wire.HookSubject) -> Subject:
    """Whom and what a hook is about.

    Raises:
        InvalidRequest: where no point is named.
    """
    if not subject.point:
        raise InvalidRequest.of("subject.point", "is missing: such as before_turn.")
    return Subject(
        subject.point,
        session_id=subject.session_id,
        turn_id=subject.turn_id,
        flow=subject.flow,
        state=subject.state,
        model=subject.model,
        tool=subject.tool,
        facts=given(subject.facts, "subject.facts"),
    )


def hook_context(subject: Subject, clock: Callable[[], float]) -> Context:
    """On whose behalf a hook runs. A service names the key that it was called with itself."""
    caller = current_caller()
    told: Mapping[str, object] = subject.facts if caller.service else {}
    return Context(
        tenant=caller.tenant,
        key_id=str(told.get(KEY_ID, "")) if caller.service else caller.key_id,
        session_id=subject.session_id,
        turn_id=subject.turn_id,
        flow=subject.flow,
        flow_state=subject.state,
        clock=clock,
    )


def answer_to_wire(refused: Refused | None) -> hook_wire.GateResponse:
    """What a gate says."""
    if refused is None:
        return hook_wire.GateResponse(allowed=True)
    refusal = refused.refusal
    return hook_wire.GateResponse(
        plugin=refused.plugin,
        reason=refusal.reason,
        message=refusal.message,
        retry_after=None if refusal.retry_after is None else _duration(refusal.retry_after),
    )


def modified_to_wire(modified: Modified) -> hook_wire.ModifyResponse:
    """What the modify hooks made of a payload."""
    return hook_wire.ModifyResponse(payload=to_struct(modified.payload), modified_by=modified.by)


def _hook_to_wire(hook: registry_snapshot.Hook) -> hook_wire.HookRegistration:
    return hook_wire.HookRegistration(
        point=hook.point,
        kind=KINDS[hook.kind],
        priority=hook.priority,
        timeout=_duration(hook.timeout),
        failure_policy=hook_wire.FAILURE_POLICY_CLOSED if hook.closed else hook_wire.FAILURE_POLICY_OPEN,
        max_in_flight=hook.max_in_flight,
    )


def _progress(progress: Progress) -> tool_wire.ToolProgress:
    return tool_wire.ToolProgress(fraction=progress.fraction, message=progress.message)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _is_zone(name: str) -> bool:
    try:
        return not name or zoneinfo.ZoneInfo(name).key == name
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        # An absolute path is a ValueError, a folder of the database an OSError.
        return False
