"""What callers may send, checked field by field; everything that is wrong with a request is told at once.

Knows the wire and the limits; what is right in form and still cannot be done is for the domain to say.
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
from clawdbot_servicekit.structs import finite, to_plain

from clawdbot_dialogue.core.errors import TurnNotFound
from clawdbot_dialogue.core.session_admin import CreateSession
from clawdbot_dialogue.core.sessions.ids import turn_number
from clawdbot_dialogue.core.sessions.records import ConcurrencyPolicy, SessionFilter
from clawdbot_dialogue.core.turns.engine import TurnRequest
from clawdbot_dialogue.core.turns.inputs import RESERVED_PREFIXES
from clawdbot_dialogue.settings import DialogueSection

MAX_ID_LENGTH: Final = 200
"""Characters of a request id, and of an event's name."""
MAX_USER_LENGTH: Final = 256
MAX_LABEL_LENGTH: Final = 63
"""Characters of a label's name, as in Kubernetes."""
MAX_LABEL_VALUE_LENGTH: Final = 256
MAX_PARTS: Final = 100
"""Parts of one message: each becomes an object of a request to a model."""

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
"""What a person's message may be made of."""

LANGUAGE_TAG: Final = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,8}")

MISSING: Final = "is missing."


@dataclass(frozen=True, slots=True)
class RequestValidator:
    """Turns requests into wishes of the running call's tenant, or raises InvalidRequest."""

    limits: DialogueSection

    def session(self, request: wire.CreateSessionRequest) -> CreateSession:
        """A conversation to open."""
        _check(self._session(request))
        unnamed = wire.CreateSessionRequest()
        unnamed.CopyFrom(request)
        unnamed.ClearField("request_id")
        return CreateSession(
            tenant=current_caller().tenant,
            flow=request.flow,
            flow_version=request.flow_version,
            user=request.user,
            labels=dict(request.labels),
            slots=to_plain(request.slots),
            locale=request.locale,
            request_id=request.request_id,
            digest=hashlib.sha256(unnamed.SerializeToString(deterministic=True)).digest(),
        )

    def filter(self, request: wire.ListSessionsRequest) -> SessionFilter:
        """Which sessions to list."""
        if request.status not in SessionStatus.values():
            raise InvalidRequest.of("status", f"{request.status} is not one of the contract's values.")
        return SessionFilter(request.user, request.flow, request.status)

    def turn(self, request: wire.SendTurnRequest | wire.StreamTurnRequest) -> TurnRequest:
        """An input for a session."""
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
        """Number or request_id of the turn that is meant: one of them is there.

        Raises:
            TurnNotFound: the id is not one of the session's.
        """
        _check(_name("session_id", request.session_id))
        if bool(request.turn_id) == bool(request.request_id):
            raise InvalidRequest.of("turn_id", "give either turn_id or request_id.")
        if request.request_id:
            return 0, request.request_id
        number = turn_number(request.session_id, request.turn_id)
        if number is None:
            raise TurnNotFound(request.session_id, request.turn_id)
        return number, ""

    def session_id(self, given: str) -> str:
        """The id of a session."""
        _check(_name("session_id", given))
        return given

    def request_id(self, given: str) -> str:
        """The caller's name for what it asks for; may be empty."""
        _check(_short("request_id", given, MAX_ID_LENGTH))
        return given

    def source(self, given: str) -> str:
        """The source of a flow."""
        _check(_small("source", len(given.encode()), self.limits.max_flow))
        return given

    def _session(self, request: wire.CreateSessionRequest) -> Iterator[FieldViolation]:
        yield from _name("flow", request.flow)
        if request.flow_version < 0:
            yield FieldViolation("flow_version", "must not be negative.")
        yield from _short("user", request.user, MAX_USER_LENGTH)
        yield from _short("request_id", request.request_id, MAX_ID_LENGTH)
        if request.locale and not LANGUAGE_TAG.fullmatch(request.locale):
            yield FieldViolation("locale", "is no BCP 47 language tag, such as zh-CN.")
        yield from _small("slots", request.slots.ByteSize(), self.limits.max_slots)
        if not finite(request.slots):
            yield FieldViolation("slots", "holds a number that JSON does not have.")
        if len(request.labels) > self.limits.max_labels:
            yield FieldViolation(
                "labels", f"has {len(request.labels)} entries; {self.limits.max_labels} may be."
            )
            return
        for name, value in request.labels.items():
            if not name:
                yield FieldViolation("labels", "holds one without a name.")
            yield from _short("labels", name, MAX_LABEL_LENGTH)
            yield from _short(f"labels.{name[:MAX_LABEL_LENGTH]}", value, MAX_LABEL_VALUE_LENGTH)

    def _turn(self, request: wire.SendTurnRequest | wire.StreamTurnRequest) -> Iterator[FieldViolation]:
        yield from _name("session_id", request.session_id)
        yield from _short("request_id", request.request_id, MAX_ID_LENGTH)
        if request.concurrency not in CONCURRENCY_POLICIES:
            yield FieldViolation("concurrency", f"{request.concurrency} is not one of the contract's values.")
        if request.on_disconnect not in CANCEL_ON_DISCONNECT:
            yield FieldViolation(
                "on_disconnect", f"{request.on_disconnect} is not one of the contract's values."
            )
        kind = request.WhichOneof("input")
        if kind == "text":
            yield from self._text("text", request.text)
        elif kind == "message":
            yield from self._message(request.message)
        elif kind == "event":
            yield from self._event(request.event)
        else:
            yield FieldViolation("text", "is missing: a turn takes a text, a message or an event.")

    def _text(self, field: str, text: str) -> Iterator[FieldViolation]:
        if not text.strip():
            yield FieldViolation(field, "is empty.")
        yield from _small(field, len(text.encode()), self.limits.max_text)

    def _message(self, message: Message) -> Iterator[FieldViolation]:
        yield from _small("message", message.ByteSize(), self.limits.max_input)
        if message.role not in (ROLE_UNSPECIFIED, ROLE_USER):
            yield FieldViolation("message.role", "must be ROLE_USER, or left out.")
        yield from _short("message.name", message.name, MAX_LABEL_LENGTH)
        if not message.parts:
            yield FieldViolation("message.parts", "is empty.")
        if len(message.parts) > MAX_PARTS:
            yield FieldViolation("message.parts", f"has {len(message.parts)} parts; {MAX_PARTS} may be.")
            return
        texts = [part.text for part in message.parts if part.WhichOneof("content") == "text"]
        yield from _small("message.parts", sum(len(text.encode()) for text in texts), self.limits.max_text)
        if len(texts) == len(message.parts) and texts and not any(text.strip() for text in texts):
            yield FieldViolation("message.parts", "holds no word.")
        for index, part in enumerate(message.parts):
            yield from _part(f"message.parts[{index}]", part)

    def _event(self, event: Event) -> Iterator[FieldViolation]:
        yield from _name("event.name", event.name)
        if event.name.startswith(RESERVED_PREFIXES):
            yield FieldViolation("event.name", f"may not begin with {' or '.join(RESERVED_PREFIXES)}")
        yield from _small("event.data", event.data.ByteSize(), self.limits.max_slots)
        if not finite(event.data):
            yield FieldViolation("event.data", "holds a number that JSON does not have.")


def _check(violations: Iterator[FieldViolation]) -> None:
    found = tuple(violations)
    if found:
        raise InvalidRequest(found)


def _name(field: str, given: str) -> Iterator[FieldViolation]:
    if not given:
        yield FieldViolation(field, MISSING)
    yield from _short(field, given, MAX_ID_LENGTH)


def _short(field: str, given: str, limit: int) -> Iterator[FieldViolation]:
    if len(given) > limit:
        yield FieldViolation(field, f"has {len(given)} characters; {limit} may be.")


def _small(field: str, size: int, limit: int) -> Iterator[FieldViolation]:
    if size > limit:
        yield FieldViolation(field, f"takes {size} bytes; {limit} may be.")


def _part(field: str, part: Part) -> Iterator[FieldViolation]:
    kind = part.WhichOneof("content")
    if kind not in INPUT_PART_KINDS:
        yield FieldViolation(field, f"must be one of {', '.join(INPUT_PART_KINDS)}.")
    elif kind != "text":
        media = getattr(part, kind)
        source = media.WhichOneof("source")
        if source is None:
            yield FieldViolation(f"{field}.{kind}", "has neither data nor uri.")
        elif source == "data" and not media.media_type:
            yield FieldViolation(f"{field}.{kind}.media_type", MISSING)
        elif media.media_type and not _MEDIA_TYPES[kind].fullmatch(media.media_type):
            yield FieldViolation(
                f"{field}.{kind}.media_type", f"must be one of {kind}, such as {_SUCH_AS[kind]}."
            )


_NAME_OF_TYPE = r"[A-Za-z0-9][\w!#$&^.+-]{0,126}"
"""As in https://www.rfc-editor.org/rfc/rfc6838#section-4.2."""
_MEDIA_TYPES: Final = {
    kind: re.compile(rf"{top}/{_NAME_OF_TYPE}(?: *;[^\r\n]{{0,200}})?", re.ASCII | re.IGNORECASE)
    for kind, top in (("image", "image"), ("audio", "audio"), ("document", _NAME_OF_TYPE))
}
_SUCH_AS: Final = {"image": "image/png", "audio": "audio/wav", "document": "application/pdf"}


def _input(request: wire.SendTurnRequest | wire.StreamTurnRequest) -> Message | Event:
    kind = request.WhichOneof("input")
    if kind == "event":
        return request.event
    if kind == "text":
        return Message(role=ROLE_USER, parts=[Part(text=request.text)])
    said = Message()
    said.CopyFrom(request.message)
    said.role = ROLE_USER
    said.ClearField("create_time")
    return said
