"""Validates requests field by field, and reports everything that is wrong with one at once.

It knows the wire and the limits. Whether a valid request can be carried out is for the domain to say.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from clawdbot.common.v1.message_pb2 import ROLE_UNSPECIFIED, ROLE_USER, Message, Part
from clawdbot.dialogue.v1 import dialogue_service_pb2 as wire
from clawdbot.dialogue.v1.session_pb2 import SessionStatus
from clawdbot.dialogue.v1.turn_pb2 import Event
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest
from clawdbot_servicekit.media_policy import MediaPolicy
from clawdbot_servicekit.structs import TOO_DEEP, is_finite, path_too_deep, to_plain
from google.protobuf.struct_pb2 import Struct

from clawdbot_dialogue.core.errors import TurnNotFound
from clawdbot_dialogue.core.session_admin import CreateSession
from clawdbot_dialogue.core.sessions.ids import turn_number
from clawdbot_dialogue.core.sessions.records import ConcurrencyPolicy, SessionFilter
from clawdbot_dialogue.core.turns.admission import TurnRequest
from clawdbot_dialogue.core.turns.inputs import RESERVED_PREFIXES
from clawdbot_dialogue.settings import DialogueSection

MAX_ID_LENGTH: Final = 200
"""Characters of a request id, a session id, and the name of a flow or an event."""
MAX_USER_LENGTH: Final = 256
MAX_LABEL_LENGTH: Final = 63
"""Characters of a label's name, as in Kubernetes."""
MAX_LABEL_VALUE_LENGTH: Final = 256
MAX_PARTS: Final = 100
"""Parts of one message: each becomes an object in requests to models."""

CONCURRENCY_POLICIES: Final = {
    wire.CONCURRENCY_POLICY_UNSPECIFIED: ConcurrencyPolicy.ENQUEUE,
    wire.CONCURRENCY_POLICY_ENQUEUE: ConcurrencyPolicy.ENQUEUE,
    wire.CONCURRENCY_POLICY_REJECT: ConcurrencyPolicy.REJECT,
    wire.CONCURRENCY_POLICY_INTERRUPT: ConcurrencyPolicy.INTERRUPT,
    wire.CONCURRENCY_POLICY_ROLLBACK: ConcurrencyPolicy.ROLLBACK,
}
CANCEL_ON_DISCONNECT: Final = {
    wire.DISCONNECT_POLICY_UNSPECIFIED: False,
    wire.DISCONNECT_POLICY_CONTINUE: False,
    wire.DISCONNECT_POLICY_CANCEL: True,
}
INPUT_PART_KINDS: Final = ("text", "image", "audio", "document")
"""What parts a person's message may have."""

LANGUAGE_TAG: Final = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,8}")

MISSING: Final = "is missing."


@dataclass(frozen=True, slots=True)
class RequestValidator:
    """Converts requests to those of the domain, for the running call's tenant, or raises InvalidRequest."""

    limits: DialogueSection
    media: MediaPolicy

    def create_session(self, request: wire.CreateSessionRequest) -> CreateSession:
        """Converts a request to create a session."""
        _check(self._create_session(request))
        return CreateSession(
            tenant=current_caller().tenant,
            flow=request.flow,
            flow_version=request.flow_version,
            user=request.user,
            labels=dict(request.labels),
            slots=to_plain(request.slots),
            locale=request.locale,
            request_id=request.request_id,
            digest=_session_digest(request),
        )

    def session_filter(self, request: wire.ListSessionsRequest) -> SessionFilter:
        """Converts the filter of ListSessions."""
        if request.status not in SessionStatus.values():
            raise InvalidRequest.of("status", f"{request.status} is not a value of SessionStatus.")
        return SessionFilter(request.user, request.flow, request.status)

    def turn(self, request: wire.SendTurnRequest | wire.StreamTurnRequest) -> TurnRequest:
        """Converts an input for a session."""
        _check(self._turn(request))
        return TurnRequest(
            tenant=current_caller().tenant,
            session_id=request.session_id,
            input=_input(request),
            request_id=request.request_id,
            concurrency=CONCURRENCY_POLICIES[request.concurrency],
            cancel_on_disconnect=CANCEL_ON_DISCONNECT[request.on_disconnect],
        )

    def turn_ref(self, request: wire.CancelTurnRequest | wire.ExplainTurnRequest) -> tuple[int, str]:
        """Returns number and request_id of the turn that a request names; one of them is set.

        Raises:
            TurnNotFound: the turn_id is not that of a turn of the session.
        """
        _check(_name("session_id", request.session_id))
        if bool(request.turn_id) == bool(request.request_id):
            raise InvalidRequest.of("turn_id", "set either turn_id or request_id.")
        if request.request_id:
            return 0, request.request_id
        number = turn_number(request.session_id, request.turn_id)
        if number is None:
            raise TurnNotFound(request.session_id, request.turn_id)
        return number, ""

    def session_id(self, value: str) -> str:
        """Returns a valid session id."""
        _check(_name("session_id", value))
        return value

    def request_id(self, value: str) -> str:
        """Returns a valid request id; it may be empty."""
        _check(_max_length("request_id", value, MAX_ID_LENGTH))
        return value

    def source(self, value: str) -> str:
        """Returns a valid source of a flow."""
        _check(_max_bytes("source", len(value.encode()), self.limits.max_flow))
        return value

    def _create_session(self, request: wire.CreateSessionRequest) -> Iterator[FieldViolation]:
        yield from _name("flow", request.flow)
        if request.flow_version < 0:
            yield FieldViolation("flow_version", "must not be negative.")
        yield from _max_length("user", request.user, MAX_USER_LENGTH)
        yield from _max_length("request_id", request.request_id, MAX_ID_LENGTH)
        if request.locale and not LANGUAGE_TAG.fullmatch(request.locale):
            yield FieldViolation("locale", "is not a BCP 47 tag (example: zh-CN).")
        yield from _max_bytes("slots", request.slots.ByteSize(), self.limits.max_slots)
        if not is_finite(request.slots):
            yield FieldViolation("slots", "contains a number that JSON does not have (NaN or infinity).")
        yield from _max_depth("slots", request.slots)
        if len(request.labels) > self.limits.max_labels:
            yield FieldViolation(
                "labels", f"has {len(request.labels)} entries; at most {self.limits.max_labels} are allowed."
            )
            return
        for name, value in request.labels.items():
            if not name:
                yield FieldViolation("labels", "contains a label without a name.")
            yield from _max_length("labels", name, MAX_LABEL_LENGTH)
            yield from _max_length(f"labels.{name[:MAX_LABEL_LENGTH]}", value, MAX_LABEL_VALUE_LENGTH)

    def _turn(self, request: wire.SendTurnRequest | wire.StreamTurnRequest) -> Iterator[FieldViolation]:
        yield from _name("session_id", request.session_id)
        yield from _max_length("request_id", request.request_id, MAX_ID_LENGTH)
        if request.concurrency not in CONCURRENCY_POLICIES:
            yield FieldViolation("concurrency", f"{request.concurrency} is not a value of ConcurrencyPolicy.")
        if request.on_disconnect not in CANCEL_ON_DISCONNECT:
            yield FieldViolation(
                "on_disconnect", f"{request.on_disconnect} is not a value of DisconnectPolicy."
            )
        kind = request.WhichOneof("input")
        if kind == "text":
            yield from self._text("text", request.text)
        elif kind == "message":
            yield from self._message(request.message)
        elif kind == "event":
            yield from self._event(request.event)
        else:
            yield FieldViolation("text", "is missing: a turn needs a text, a message or an event.")

    def _text(self, field: str, text: str) -> Iterator[FieldViolation]:
        if not text.strip():
            yield FieldViolation(field, "is empty.")
        yield from _max_bytes(field, len(text.encode()), self.limits.max_text)

    def _message(self, message: Message) -> Iterator[FieldViolation]:
        yield from _max_bytes("message", message.ByteSize(), self.limits.max_input)
        if message.role not in (ROLE_UNSPECIFIED, ROLE_USER):
            yield FieldViolation("message.role", "must be ROLE_USER or unset.")
        yield from _max_length("message.name", message.name, MAX_LABEL_LENGTH)
        if not message.parts:
            yield FieldViolation("message.parts", "is empty.")
        if len(message.parts) > MAX_PARTS:
            yield FieldViolation(
                "message.parts", f"has {len(message.parts)} parts; at most {MAX_PARTS} are allowed."
            )
            return
        texts = [part.text for part in message.parts if part.WhichOneof("content") == "text"]
        yield from _max_bytes(
            "message.parts", sum(len(text.encode()) for text in texts), self.limits.max_text
        )
        if len(texts) == len(message.parts) and texts and not any(text.strip() for text in texts):
            yield FieldViolation("message.parts", "has no text.")
        for index, part in enumerate(message.parts):
            field = f"message.parts[{index}]"
            if part.WhichOneof("content") not in INPUT_PART_KINDS:
                yield FieldViolation(field, f"must be one of {', '.join(INPUT_PART_KINDS)}.")
            else:
                yield from self.media.violations(field, part)

    def _event(self, event: Event) -> Iterator[FieldViolation]:
        yield from _name("event.name", event.name)
        if event.name.startswith(RESERVED_PREFIXES):
            prefixes = " or ".join(f'"{prefix}"' for prefix in RESERVED_PREFIXES)
            yield FieldViolation("event.name", f"must not begin with {prefixes}.")
        yield from _max_bytes("event.data", event.data.ByteSize(), self.limits.max_slots)
        if not is_finite(event.data):
            yield FieldViolation("event.data", "contains a number that JSON does not have (NaN or infinity).")
        yield from _max_depth("event.data", event.data)


def _check(violations: Iterator[FieldViolation]) -> None:
    found = tuple(violations)
    if found:
        raise InvalidRequest(found)


def _name(field: str, value: str) -> Iterator[FieldViolation]:
    if not value:
        yield FieldViolation(field, MISSING)
    yield from _max_length(field, value, MAX_ID_LENGTH)


def _max_length(field: str, value: str, limit: int) -> Iterator[FieldViolation]:
    if len(value) > limit:
        yield FieldViolation(field, f"has {len(value)} characters; at most {limit} are allowed.")


def _max_bytes(field: str, size: int, limit: int) -> Iterator[FieldViolation]:
    if size > limit:
        yield FieldViolation(field, f"has {size} bytes; at most {limit} are allowed.")


def _max_depth(field: str, struct: Struct) -> Iterator[FieldViolation]:
    path = path_too_deep(struct, field)
    if path is not None:
        yield FieldViolation(path, TOO_DEEP)


def _session_digest(request: wire.CreateSessionRequest) -> bytes:
    """A digest of all but the request_id. Empty without one."""
    if not request.request_id:
        return b""
    without_id = wire.CreateSessionRequest()
    without_id.CopyFrom(request)
    without_id.ClearField("request_id")
    return hashlib.sha256(without_id.SerializeToString(deterministic=True)).digest()


def _input(request: wire.SendTurnRequest | wire.StreamTurnRequest) -> Message | Event:
    kind = request.WhichOneof("input")
    if kind == "event":
        return request.event
    if kind == "text":
        return Message(role=ROLE_USER, parts=[Part(text=request.text)])
    message = Message()
    message.CopyFrom(request.message)
    message.role = ROLE_USER
    message.ClearField("create_time")
    return message
