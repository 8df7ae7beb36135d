"""The items of one output, which grow by deltas, come whole, or both.

An item is known by its place in the output, else by its id: some servers leave the one out, and some proxies
give it another id with every event. What comes whole is compared with what was said and only the rest told.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot_servicekit.structs import to_struct

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.responses import thought_signatures

WANTING: Final = frozenset(
    {
        *("custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"),
        "mcp_approval_request",
    }
)
"""Items that ask the caller for something that the contract has no place for."""


class _Item:
    """One item."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.ids: set[str] = set()
        self.said: dict[tuple[str, int], str] = {}
        """(Kind of text, place in the item) → what was told of it."""
        self.done = False
        self.index = -1
        """Of a tool call that has been told of."""
        self.call_id = ""
        self.name = ""
        self.arguments = ""
        self.told = 0
        """Characters of the arguments that were told."""


class Items:
    """The items of one reply."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._items: list[_Item] = []
        self._places: dict[int, _Item] = {}
        self._calls = 0
        self.refused = False
        """Whether the model declined."""
        self.wanting = ""
        """The kind of an item that asks for what nobody here can do."""

    def added(self, event: Mapping[str, Any], found: list[Event]) -> None:
        """An item has begun."""
        given = _object(event.get("item"))
        item = self._item(event, given, _string(given.get("type")))
        if item.kind == "function_call":
            self._name(item, given, found)

    def delta(self, slot: str, event: Mapping[str, Any], found: list[Event]) -> None:
        """A piece of a text; `slot` says of which kind."""
        item = self._item(event, {}, _KINDS[slot])
        self._say(item, slot, _place(event, slot), _string(event.get("delta")), found)

    def text(self, slot: str, event: Mapping[str, Any], found: list[Event]) -> None:
        """A text that is whole."""
        item = self._item(event, {}, _KINDS[slot])
        whole = _string(event.get("refusal" if slot == "refusal" else "text"))
        self._rest(item, slot, _place(event, slot), whole, found)

    def arguments(self, event: Mapping[str, Any], found: list[Event]) -> None:
        """A piece of a call's arguments."""
        item = self._item(event, {}, "function_call")
        if not item.done:
            item.arguments += _string(event.get("delta"))
            self._argue(item, found)

    def all_arguments(self, event: Mapping[str, Any], found: list[Event]) -> None:
        """The arguments, whole; the item's own end follows."""
        item = self._item(event, {}, "function_call")
        self._name(item, event, found)
        self._whole_arguments(item, event, found)

    def done(self, event: Mapping[str, Any], found: list[Event]) -> None:
        """An item is whole."""
        given = _object(event.get("item"))
        item = self._item(event, given, _string(given.get("type")))
        if item.done:
            return
        if item.kind in WANTING:
            self.wanting = item.kind
        step = _WHOLE.get(item.kind)
        if step is not None:
            step(self, item, given, found)

    def output(self, output: Any, found: list[Event]) -> None:
        """All items, as the end of a reply repeats them."""
        for place, given in enumerate(output if isinstance(output, list) else []):
            known = self._named(_string(_object(given).get("id")), "") if place not in self._places else None
            if known is not None:
                self._places[place] = known
            self.done({"output_index": place, "item": given}, found)

    def calls(self, found: list[Event], *, ended: bool) -> Iterator[bool]:
        """Tells for each call whether it is whole, the last event of one that never was said to be included.

        Args:
            found: where that event goes.
            ended: whether the vendor said that the reply was at its end.
        """
        for item in self._items:
            if item.kind == "function_call":
                if ended and not item.done and item.index >= 0:
                    self._finish(item, found)
                yield item.done

    def _item(self, event: Mapping[str, Any], given: Mapping[str, Any], kind: str) -> _Item:
        place, name = event.get("output_index"), _string(event.get("item_id")) or _string(given.get("id"))
        if isinstance(place, int):
            item = self._places.get(place)
            if item is None:
                item = self._places[place] = self._begin(kind)
        else:
            item = self._named(name, kind) or self._begin(kind)
        if name:
            item.ids.add(name)
        item.kind = item.kind or kind
        return item

    def _named(self, name: str, kind: str) -> _Item | None:
        """The item of an id; without one, the last where it is of this kind and still grows."""
        if name:
            return next((each for each in self._items if name in each.ids), None)
        last = self._items[-1] if self._items else None
        return last if last is not None and last.kind == kind and not last.done else None

    def _begin(self, kind: str) -> _Item:
        item = _Item(kind)
        self._items.append(item)
        return item

    def _say(self, item: _Item, slot: str, place: int, piece: str, found: list[Event]) -> None:
        if not piece or item.done:
            return
        key = (slot, place)
        if slot in _THOUGHTS:
            if item.said and key not in item.said:
                found.append(events.reasoning("\n\n"))
            found.append(events.reasoning(piece))
        else:
            self.refused = self.refused or slot == "refusal"
            found.append(events.text(piece))
        item.said[key] = item.said.get(key, "") + piece

    def _rest(self, item: _Item, slot: str, place: int, whole: str, found: list[Event]) -> None:
        """What of a whole text was not told in pieces; where they differ, the pieces stand."""
        said = item.said.get((slot, place), "")
        if whole.startswith(said):
            self._say(item, slot, place, whole[len(said) :], found)

    def _message(self, item: _Item, given: Mapping[str, Any], found: list[Event]) -> None:
        for place, part in enumerate(_list(given.get("content"))):
            slot = _string(part.get("type"))
            if slot in _TEXTS:
                whole = _string(part.get("refusal" if slot == "refusal" else "text"))
                self._rest(item, slot, place, whole, found)
        item.done = True

    def _reasoning(self, item: _Item, given: Mapping[str, Any], found: list[Event]) -> None:
        for field in ("summary", "content"):
            for place, part in enumerate(_list(given.get(field))):
                slot = _string(part.get("type"))
                if slot in _THOUGHTS:
                    self._rest(item, slot, place, _string(part.get("text")), found)
        signature = thought_signatures.keep(given)
        if signature:
            found.append(events.reasoning("", signature=signature))
        item.done = True

    def _call(self, item: _Item, given: Mapping[str, Any], found: list[Event]) -> None:
        self._name(item, given, found)
        self._whole_arguments(item, given, found)
        if given.get("status") != "incomplete":
            self._finish(item, found)

    def _name(self, item: _Item, given: Mapping[str, Any], found: list[Event]) -> None:
        """Tells of the call as soon as its name is known."""
        name = _string(given.get("name"))
        if item.index >= 0 or not name:
            return
        item.index, self._calls = self._calls, self._calls + 1
        item.name = self._names.full(name)
        item.call_id = _string(given.get("call_id")) or f"call_{secrets.token_hex(12)}"
        found.append(events.tool_started(item.index, item.call_id, item.name))
        self._argue(item, found)

    def _whole_arguments(self, item: _Item, given: Mapping[str, Any], found: list[Event]) -> None:
        whole = _string(given.get("arguments"))
        if not item.done and whole.startswith(item.arguments):
            item.arguments = whole
            self._argue(item, found)

    def _argue(self, item: _Item, found: list[Event]) -> None:
        piece = item.arguments[item.told :]
        if piece and item.index >= 0:
            item.told = len(item.arguments)
            found.append(events.tool_delta(item.index, piece))

    def _finish(self, item: _Item, found: list[Event]) -> None:
        arguments = _parsed(item.arguments)
        if arguments is None or item.index < 0:
            return
        item.done = True
        call = ToolCall(id=item.call_id, name=item.name, arguments=arguments)
        found.append(events.tool_done(item.index, call))


_TEXTS: Final = frozenset({"output_text", "refusal"})
_THOUGHTS: Final = frozenset({"summary_text", "reasoning_text"})
_KINDS: Final = {**dict.fromkeys(_TEXTS, "message"), **dict.fromkeys(_THOUGHTS, "reasoning")}

_WHOLE: Final[Mapping[str, Callable[[Items, _Item, Mapping[str, Any], list[Event]], None]]] = {
    "message": Items._message,  # noqa: SLF001 - its own table
    "reasoning": Items._reasoning,  # noqa: SLF001
    "function_call": Items._call,  # noqa: SLF001
}


def _parsed(text: str) -> Any:
    """Arguments as a Struct; None where they are no JSON object."""
    try:
        # Models say nothing, or null, where a tool takes no arguments.
        plain = orjson.loads(text) if text.strip() else {}
        return to_struct({} if plain is None else plain) if isinstance(plain, dict | None) else None
    except ValueError:
        return None


def _place(event: Mapping[str, Any], slot: str) -> int:
    place = event.get("summary_index" if slot == "summary_text" else "content_index")
    return place if isinstance(place, int) else 0


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [_object(each) for each in value] if isinstance(value, list) else []


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
