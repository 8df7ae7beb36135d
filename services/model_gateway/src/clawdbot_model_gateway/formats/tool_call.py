"""Builds a complete tool call from what a vendor sent, with its arguments also as text, which is exact."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any, Final

import orjson
from clawdbot.common.v1.message_pb2 import ToolCall, ToolResult
from clawdbot_servicekit.structs import fill_struct, to_json, to_plain

from clawdbot_model_gateway.formats.text_joiner import well_formed, well_formed_json
from clawdbot_model_gateway.formats.vendor_json import as_string, dump_exactly, load_exactly

_NO_ARGUMENTS: Final = frozenset({"", "null", '""'})
"""What models send if a tool takes no arguments."""
PLACEHOLDER_TEXTS: Final = frozenset({*_NO_ARGUMENTS, "{}"})
"""Fragments that may stand for no arguments, or for those that follow: some proxies begin with them."""
PLACEHOLDERS: Final[tuple[Any, ...]] = (None, {}, [], "")
"""What stands for the arguments of a call if they follow, or if it has none."""


def added_by(fragment: str, arguments: str) -> str:
    """What a fragment adds to the arguments so far: some servers repeat those from their beginning."""
    repeats = arguments.lstrip().startswith("{") and fragment.startswith(arguments)
    return fragment[len(arguments) :] if repeats else fragment


def is_same_json(text: str, other: str) -> bool:
    """Whether two texts are one JSON document, however they are written."""
    try:
        return text == other or load_exactly(text.encode()) == load_exactly(other.encode())
    except (ValueError, RecursionError):
        return False


def call_from_json(call_id: str, name: str, arguments: Any) -> ToolCall | None:
    """The call with these arguments: JSON text, as vendors document it, or an object; None for any other."""
    if isinstance(arguments, str):
        return call_from_text(call_id, name, arguments)
    return call_from_object(call_id, name, {} if arguments in PLACEHOLDERS else arguments)


def call_from_text(call_id: str, name: str, text: str) -> ToolCall | None:
    """The call with these arguments, as JSON; None if they are no JSON object, or half of one."""
    text = text.strip()
    if text in _NO_ARGUMENTS:
        text = "{}"
    try:
        plain = load_exactly(text.encode("utf-8", "surrogatepass"))
        if isinstance(plain, str):
            # Some models write JSON in JSON.
            plain = load_exactly(plain.encode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    return call_from_object(call_id, name, plain)


def call_from_object(call_id: str, name: str, plain: Any) -> ToolCall | None:
    """The same, for arguments that came as JSON in JSON."""
    if plain is None:
        plain = {}
    if not isinstance(plain, dict):
        return None
    call = ToolCall(id=call_id, name=name)
    try:
        plain = well_formed_json(plain)
        fill_struct(call.arguments, plain)
        call.arguments_json = dump_exactly(plain)
    except (ValueError, RecursionError):
        return None
    return call


def arguments_text(call: ToolCall) -> str:
    """The arguments of a call that goes back to a vendor, as JSON text."""
    return call.arguments_json or to_json(call.arguments).decode()


def arguments_object(call: ToolCall) -> Any:
    """The same, as a value for orjson."""
    return orjson.Fragment(call.arguments_json) if call.arguments_json else to_plain(call.arguments)


def structured_text(result: ToolResult) -> str:
    """A result's data as JSON text; empty if it has none."""
    if result.structured_json:
        return result.structured_json
    return to_json(result.structured).decode() if result.HasField("structured") else ""


def allowed_id(call_id: str, allowed: re.Pattern[str]) -> str:
    """An id that a vendor allows; the same for the call and its result."""
    return call_id if allowed.fullmatch(call_id) else _made_from(call_id, "call")


def _made_from(call_id: str, prefix: str) -> str:
    """Another id, the same every time: vendors' caches know the conversation by its bytes."""
    return f"{prefix}_{hashlib.sha256(call_id.encode()).hexdigest()[:24]}"


class CallIds:
    """The ids of one reply's calls. Each is unique: some vendors send the same one twice, or none."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._used: set[str] = set()

    def unique(self, vendor_id: Any) -> str:
        """The vendor's id; a new one if there is none, or, made from it, if it is taken."""
        call_id = well_formed(as_string(vendor_id)) or f"{self._prefix}_{secrets.token_hex(12)}"
        while call_id in self._used:
            call_id = _made_from(call_id, self._prefix)
        self._used.add(call_id)
        return call_id
