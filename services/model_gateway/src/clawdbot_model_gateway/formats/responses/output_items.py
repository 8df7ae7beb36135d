"""Accumulates the items of one output, which arrive as deltas, at once, or both.

An item is identified by its index in the output, otherwise by its id: some servers send no index, and some
proxies send another id with every event. Of text that comes at once, only what no delta has sent is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.reply_text import ReplyText
from clawdbot_model_gateway.formats.responses import thought_signatures
from clawdbot_model_gateway.formats.text_joiner import TextJoiner, well_formed
from clawdbot_model_gateway.formats.tool_call import PLACEHOLDERS, CallIds, call_from_json, call_from_text
from clawdbot_model_gateway.formats.vendor_json import as_string

UNSUPPORTED_ITEMS: Final = frozenset(
    {
        *("custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"),
        "mcp_approval_request",
    }
)
"""Items that ask the caller for something that our reply has no part for."""


class _Text:
    """One text of an item."""

    def __init__(self) -> None:
        self.joiner = TextJoiner()
        self.sent = ""
        """What was sent as events: without the beginning of a cut character, unlike the deltas."""


class _Item:
    """One item."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.ids: set[str] = set()
        self.texts: dict[tuple[str, int], _Text] = {}
        """(Type of text, index in the item) → the text."""
        self.done = False
        self.call_index = -1
        """Of a tool call whose first event was sent."""
        self.call_id = ""
        self.name = ""
        self.arguments = ""
        self.given: Any = None
        """Arguments that came at once, and do not continue the deltas: used if those form no object."""
        self.text = TextJoiner()
        self.sent = 0
        """Characters of the arguments that were sent as events."""


class OutputItems:
    """The items of one reply."""

    def __init__(self, names: ToolNames, text: ReplyText) -> None:
        self._names = names
        self._text = text
        self._ids = CallIds("call")
        self._items: list[_Item] = []
        self._by_index: dict[int, _Item] = {}
        self._calls = 0
        self.refused = False
        """Whether the model refused."""
        self.unsupported = ""
        """The type of an item that asks the caller for something unsupported."""

    def item_added(self, event: Mapping[str, Any], out: list[Event]) -> None:
        """An item has begun."""
        data = _object(event.get("item"))
        item = self._item(event, data, as_string(data.get("type")), begins=True)
        if item.kind == "function_call":
            self._start_call(item, data, out)
            if data.get("arguments") not in PLACEHOLDERS:
                item.given = data["arguments"]

    def text_delta(self, text_type: str, event: Mapping[str, Any], out: list[Event]) -> None:
        """A fragment of a text of this type."""
        item = self._item(event, {}, _ITEM_OF_TEXT[text_type])
        self._add_text(item, text_type, _part_index(event, text_type), _text_in(event.get("delta")), out)

    def text_done(self, text_type: str, event: Mapping[str, Any], out: list[Event]) -> None:
        """A text is complete."""
        item = self._item(event, {}, _ITEM_OF_TEXT[text_type])
        text = as_string(event.get("refusal" if text_type == "refusal" else "text"))
        self._complete_text(item, text_type, _part_index(event, text_type), text, out)

    def part_done(self, event: Mapping[str, Any], out: list[Event]) -> None:
        """A part is complete, also one whose text no other event has."""
        part = _object(event.get("part"))
        text_type = _TYPE_OF_TEXT.get(as_string(part.get("type")))
        if text_type is not None:
            self.text_done(text_type, {**event, **part}, out)

    def arguments_delta(self, event: Mapping[str, Any], out: list[Event]) -> None:
        """A fragment of a call's arguments."""
        item = self._item(event, {}, "function_call")
        fragment = event.get("delta")
        if item.done or fragment in PLACEHOLDERS:
            return
        if isinstance(fragment, str):
            item.arguments += item.text.add(fragment)
            self._send_arguments(item, out)
        else:
            item.given = fragment

    def arguments_done(self, event: Mapping[str, Any], out: list[Event]) -> None:
        """The arguments are complete; the end of the item follows."""
        item = self._item(event, {}, "function_call")
        self._start_call(item, event, out)
        self._complete_arguments(item, event, out)

    def item_done(self, event: Mapping[str, Any], out: list[Event]) -> None:
        """An item is complete."""
        data = _object(event.get("item"))
        self._complete(self._item(event, data, as_string(data.get("type"))), data, out)

    def final_output(self, output: Any, out: list[Event]) -> None:
        """All items, as the end of a reply repeats them."""
        whole = _objects(output)
        for item, data in zip(self._repeated(whole), whole, strict=True):
            self._complete(item, data, out)

    def finish_calls(self, out: list[Event], *, completed: bool) -> Iterator[bool]:
        """Yields for each call whether it is complete; ends those whose end the vendor did not send.

        Args:
            out: the last events of those calls are added here.
            completed: whether the vendor reported that the reply is complete.
        """
        calls = [item for item in self._items if item.kind == "function_call"]
        strays = any(item.arguments and item.call_index < 0 for item in calls)
        for item in calls:
            # Arguments without a call may be those of one that has none.
            has_its_own = item.arguments or item.given is not None or not strays
            if completed and not item.done and has_its_own:
                self._finish_call(item, out)
            yield item.done

    def finish_texts(self, out: list[Event]) -> None:
        """Adds U+FFFD for each character whose rest never came."""
        for item in self._items:
            for (text_type, _), text in item.texts.items():
                self._show(text_type, text, text.joiner.end(), out)

    def _complete(self, item: _Item, data: Mapping[str, Any], out: list[Event]) -> None:
        if item.done:
            return
        if item.kind in UNSUPPORTED_ITEMS or data.get("execution") == "client":
            self.unsupported = item.kind
        elif self.unsupported and item.kind == f"{self.unsupported}_output":
            self.unsupported = ""  # The vendor has run it after all.
        complete = _COMPLETERS.get(item.kind)
        if complete is not None:
            complete(self, item, data, out)

    def _repeated(self, output: list[Mapping[str, Any]]) -> list[_Item]:
        """The item of each in a final output: by its id, else by its place, else by the order of its kind.

        Some servers leave out items that they streamed, or give all of them other ids.
        """
        kinds = [as_string(data.get("type")) for data in output]
        found: list[_Item | None] = []
        for kind, data in zip(kinds, output, strict=True):
            item_id = as_string(data.get("id"))
            same_id = (item for item in self._items if item_id in item.ids and item not in found)
            found.append(next((item for item in same_id if _fits(item.kind, kind)), None))
        for place, kind in enumerate(kinds):
            item = self._by_index.get(place)
            if found[place] is None and item is not None and item.kind == kind and item not in found:
                found[place] = item
        for place, kind in enumerate(kinds):
            if found[place] is None:
                same_kind = (item for item in self._items if item.kind == kind and item not in found)
                found[place] = next(same_kind, None) or self._new_item(kind)
        return [item for item in found if item is not None]

    def _item(
        self, event: Mapping[str, Any], data: Mapping[str, Any], kind: str, *, begins: bool = False
    ) -> _Item:
        """The item of an event: by its index, else by its id; a new one if there is none.

        Args:
            event: the event.
            data: the item, if the event contains it.
            kind: type of the item.
            begins: whether the event is an item's first.
        """
        index = event.get("output_index")
        item_id = as_string(event.get("item_id")) or as_string(data.get("id"))
        item = None
        if type(index) is int:
            item = self._by_index.get(index)
            if item is not None and not _fits(item.kind, kind):
                item = None  # Some servers give all items one index.
            if item is not None and begins and item.done and item_id not in item.ids:
                item = None
            if item is None and item_id and not begins:
                found = self._find(item_id, kind)
                item = None if found is not None and data and found.done else found
            item = self._by_index[index] = item or self._new_item(kind)
        else:
            item = self._find(item_id, kind) or self._new_item(kind)
        if item_id:
            item.ids.add(item_id)
        if not item.kind or (item.kind not in _COMPLETERS and kind in _COMPLETERS):
            item.kind = kind
        return item

    def _find(self, item_id: str, kind: str) -> _Item | None:
        """The item with this id; without an id, the last one, if it is of this kind and not done."""
        if item_id:
            same_id = (item for item in self._items if item_id in item.ids)
            return next((item for item in same_id if _fits(item.kind, kind)), None)
        last = self._items[-1] if self._items else None
        return last if last is not None and last.kind == kind and not last.done else None

    def _new_item(self, kind: str) -> _Item:
        item = _Item(kind)
        self._items.append(item)
        return item

    def _add_text(self, item: _Item, text_type: str, index: int, fragment: str, out: list[Event]) -> None:
        if not fragment or item.done:
            return
        text = item.texts.get((text_type, index))
        if text is None:
            if item.texts and text_type in _REASONING_TEXTS:
                out.append(events.reasoning_delta("\n\n"))
            text = item.texts[text_type, index] = _Text()
        self.refused = self.refused or text_type == "refusal"
        self._show(text_type, text, text.joiner.add(fragment), out)

    def _show(self, text_type: str, text: _Text, piece: str, out: list[Event]) -> None:
        if not piece:
            return
        text.sent += piece
        if text_type in _REASONING_TEXTS:
            self._text.add_reasoning(piece, out)
        else:
            self._text.add(piece, out)

    def _complete_text(self, item: _Item, text_type: str, index: int, whole: str, out: list[Event]) -> None:
        """Adds what no delta has sent. If the text differs from its deltas, the deltas count."""
        whole, text = well_formed(whole), item.texts.get((text_type, index))
        if text is None:
            self._add_text(item, text_type, index, whole, out)
        elif not item.done and whole.startswith(text.sent):
            text.joiner = TextJoiner()  # A character that was cut is in the rest.
            self._show(text_type, text, whole[len(text.sent) :], out)

    def _complete_texts(self, item: _Item, texts: list[tuple[str, int, str]], out: list[Event]) -> None:
        """Completes the item's texts: type, index in the item, and text of each."""
        for text_type in {each[0]: None for each in texts}:
            whole = [(index, text) for kind, index, text in texts if kind == text_type]
            sent = [index for kind, index in item.texts if kind == text_type]
            # Some servers count the texts of all items together.
            indexes = sent if len(sent) == len(whole) else [index for index, _ in whole]
            for index, (_, text) in zip(indexes, whole, strict=True):
                self._complete_text(item, text_type, index, text, out)
        item.done = True

    def _complete_message(self, item: _Item, data: Mapping[str, Any], out: list[Event]) -> None:
        content = data.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else _objects(content)
        texts = []
        for index, part in enumerate(parts):
            text_type = _TYPE_OF_TEXT.get(as_string(part.get("type")), "")
            if text_type in _MESSAGE_TEXTS:
                text = as_string(part.get("refusal" if text_type == "refusal" else "text"))
                texts.append((text_type, index, text))
        self._complete_texts(item, texts, out)

    def _complete_reasoning(self, item: _Item, data: Mapping[str, Any], out: list[Event]) -> None:
        texts = [
            (text_type, index, as_string(part.get("text")))
            for field in ("summary", "content")
            for index, part in enumerate(_objects(data.get(field)))
            if (text_type := as_string(part.get("type"))) in _REASONING_TEXTS
        ]
        self._complete_texts(item, texts, out)
        signature = thought_signatures.wrap(data)
        if signature:
            out.append(events.reasoning_delta("", signature=signature))

    def _complete_call(self, item: _Item, data: Mapping[str, Any], out: list[Event]) -> None:
        self._start_call(item, data, out)
        self._complete_arguments(item, data, out)
        if data.get("status") != "incomplete":
            self._finish_call(item, out)

    def _start_call(self, item: _Item, data: Mapping[str, Any], out: list[Event]) -> None:
        """Sends the call's first event as soon as its name is known."""
        name = as_string(data.get("name"))
        if item.call_index >= 0 or not name:
            return
        item.call_index, self._calls = self._calls, self._calls + 1
        item.name = self._names.from_wire(name)
        item.call_id = self._ids.unique(data.get("call_id"))
        out.append(events.tool_call_started(item.call_index, item.call_id, item.name))
        self._send_arguments(item, out)

    def _complete_arguments(self, item: _Item, data: Mapping[str, Any], out: list[Event]) -> None:
        arguments = data.get("arguments")
        if item.done or arguments in PLACEHOLDERS:
            return
        whole = well_formed(as_string(arguments))
        if whole and whole.startswith(item.arguments):
            item.text = TextJoiner()  # A character that was cut is in the rest.
            item.arguments = whole
            self._send_arguments(item, out)
        else:
            item.given = arguments

    def _send_arguments(self, item: _Item, out: list[Event]) -> None:
        unsent = item.arguments[item.sent :]
        if unsent and item.call_index >= 0:
            item.sent = len(item.arguments)
            out.append(events.tool_call_delta(item.call_index, unsent))

    def _finish_call(self, item: _Item, out: list[Event]) -> None:
        if item.call_index < 0:
            return
        item.arguments += item.text.end()
        self._send_arguments(item, out)
        call = None
        if item.arguments or item.given is None:
            call = call_from_text(item.call_id, item.name, item.arguments)
        if call is None and item.given is not None:
            call = call_from_json(item.call_id, item.name, item.given)
        if call is None:
            return
        if not item.arguments:
            item.arguments = call.arguments_json
            self._send_arguments(item, out)
        item.done = True
        out.append(events.tool_call_done(item.call_index, call))


_MESSAGE_TEXTS: Final = frozenset({"output_text", "refusal"})
_REASONING_TEXTS: Final = frozenset({"summary_text", "reasoning_text"})
_ITEM_OF_TEXT: Final = {
    **dict.fromkeys(_MESSAGE_TEXTS, "message"),
    **dict.fromkeys(_REASONING_TEXTS, "reasoning"),
}
"""Type of text → type of the item that contains it."""
_TYPE_OF_TEXT: Final = {"text": "output_text", **{each: each for each in _ITEM_OF_TEXT}}
"""Type of a part → type of its text. Servers that imitate the API also say "text"."""

_COMPLETERS: Final[Mapping[str, Callable[[OutputItems, _Item, Mapping[str, Any], list[Event]], None]]] = {
    "message": OutputItems._complete_message,  # noqa: SLF001 - its own table
    "reasoning": OutputItems._complete_reasoning,  # noqa: SLF001
    "function_call": OutputItems._complete_call,  # noqa: SLF001
}


def _fits(known: str, kind: str) -> bool:
    """Whether an item of a known type may be of this one: those that our reply has no part for may be any."""
    return known == kind or known not in _COMPLETERS or kind not in _COMPLETERS


def _part_index(event: Mapping[str, Any], text_type: str) -> int:
    index = event.get("summary_index" if text_type == "summary_text" else "content_index")
    return index if type(index) is int else 0


def _text_in(delta: Any) -> str:
    return as_string(delta) or as_string(_object(delta).get("text"))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [_object(each) for each in value] if isinstance(value, list) else []
