"""Assembles tool calls from the fragments of a stream.

OpenAI numbers the fragments and sends id and name only with the first one. Other servers leave the index
out, always send 0, repeat the id, give two calls one id, cut the name, or send a call at once; every one of
these is in use. Fragments that cannot be told apart make no call: the reply ends in MODEL_ERROR.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.gemini import thought_signatures
from clawdbot_model_gateway.formats.text_joiner import TextJoiner
from clawdbot_model_gateway.formats.tool_call import CallIds, call_from_text
from clawdbot_model_gateway.formats.vendor_json import as_object, as_string, dump_exactly


class _PartialCall:
    """One call that grows. Its first event is sent once its name is certain."""

    def __init__(self, vendor_index: Any, vendor_id: str) -> None:
        self.vendor_indexes = {vendor_index}
        """The vendor's own indexes; None if it sent none."""
        self.vendor_id = vendor_id
        self.index = -1
        """Ours, once the first event was sent."""
        self.id = ""
        self.wire_name = ""
        self.arguments = ""
        self.text = TextJoiner()
        self.signature = b""
        self.guessed_index: Any = None
        """An index whose fragments seem to be its own, since it was the only call."""
        self.broken = False
        """Whether a fragment cannot belong to it as it seemed to."""

    @property
    def started(self) -> bool:
        return self.index >= 0

    @property
    def complete(self) -> bool:
        """Whether its arguments are a JSON object already."""
        return self.arguments.rstrip().endswith("}") and call_from_text("", "", self.arguments) is not None


class ToolCallAccumulator:
    """The calls of one reply."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._ids = CallIds("call")
        self._calls: list[_PartialCall] = []
        self._started = 0

    def add(self, fragments: Any, out: list[Event]) -> None:
        """Adds the events of the fragments in one chunk."""
        for fragment in fragments if isinstance(fragments, list) else []:
            if isinstance(fragment, dict):
                self._add_fragment(fragment, out)

    def finish(self, out: list[Event]) -> Iterator[bool]:
        """Adds the last events of each complete call; yields for each call whether it is complete."""
        strays = any(call.broken or (call.arguments and not call.wire_name) for call in self._calls)
        for call in self._calls:
            if not call.started and call.wire_name and not self._names.is_cut(call.wire_name):
                self._start(call, out)
            self._add_arguments(call, call.text.end(), out)
            parsed = None
            # Arguments without a call may be those of one that has none.
            if call.started and not call.broken and (call.arguments or not strays):
                parsed = call_from_text(call.id, self._names.from_wire(call.wire_name), call.arguments)
            if parsed is not None:
                parsed.signature = call.signature
                out.append(events.tool_call_done(call.index, parsed))
            yield parsed is not None

    def _add_fragment(self, fragment: dict[str, Any], out: list[Event]) -> None:
        function = as_object(fragment.get("function"))
        name, arguments = as_string(function.get("name")), function.get("arguments")
        if isinstance(arguments, dict):
            # As Ollama sends them, and with it some servers that are built on it.
            arguments = dump_exactly(arguments)
        arguments = as_string(arguments)
        vendor_id = as_string(fragment.get("id"))
        call = self._call_of(fragment.get("index"), vendor_id, name, arguments)
        if call is None:
            return
        call.signature = call.signature or thought_signatures.in_extra_content(fragment)
        if name:
            self._add_name(call, name, out)
        self._add_arguments(call, call.text.add(arguments), out)
        if not call.started and call.arguments and self._is_whole(call.wire_name):
            self._start(call, out)

    def _add_name(self, call: _PartialCall, piece: str, out: list[Event]) -> None:
        """A name, or a piece of it."""
        if call.started:
            call.broken = call.broken or piece != call.wire_name
            return
        joined = call.wire_name + piece
        if self._names.is_known(joined) or self._names.is_cut(joined):
            call.wire_name = joined
        elif piece.startswith(call.wire_name):
            # The first piece, or the name is repeated, or grows.
            call.wire_name = piece
        else:
            call.wire_name = joined
        if self._names.is_known(call.wire_name) and not self._names.is_cut(call.wire_name):
            self._start(call, out)

    def _is_whole(self, wire_name: str) -> bool:
        """Whether a name can be taken for complete once arguments have come."""
        return bool(wire_name) and (self._names.is_known(wire_name) or not self._names.is_cut(wire_name))

    def _start(self, call: _PartialCall, out: list[Event]) -> None:
        call.index, self._started = self._started, self._started + 1
        call.id = self._ids.unique(call.vendor_id)
        out.append(events.tool_call_started(call.index, call.id, self._names.from_wire(call.wire_name)))
        if call.arguments:
            out.append(events.tool_call_delta(call.index, call.arguments))

    @staticmethod
    def _add_arguments(call: _PartialCall, fragment: str, out: list[Event]) -> None:
        if fragment:
            call.arguments += fragment
            if call.started:
                out.append(events.tool_call_delta(call.index, fragment))

    def _call_of(self, index: Any, vendor_id: str, name: str, arguments: str) -> _PartialCall | None:
        """The call that a fragment belongs to; a new one if it begins one."""
        known = self._known_call(index, vendor_id, name)
        self._check_guess(index, vendor_id, name)
        if known is not None and not self._begins_another(known, index, name, arguments):
            known.vendor_indexes.add(index)
            known.vendor_id = known.vendor_id or vendor_id
            return known
        if not name and not vendor_id:
            if index is None:
                return self._calls[-1] if self._calls else None
            if len(self._calls) == 1 and not self._calls[0].arguments:
                # The arguments of the only call come under another index.
                self._calls[0].vendor_indexes.add(index)
                self._calls[0].guessed_index = index
                return self._calls[0]
        self._calls.append(_PartialCall(index, vendor_id))
        return self._calls[-1]

    def _known_call(self, index: Any, vendor_id: str, name: str) -> _PartialCall | None:
        """The call that has begun with this id or index."""
        with_id = self._last(lambda call: bool(vendor_id) and call.vendor_id == vendor_id)
        with_index = None if index is None else self._last(lambda call: index in call.vendor_indexes)
        if with_index is None or with_id is with_index:
            return with_id
        new = not with_index.vendor_id and not with_index.wire_name
        if not vendor_id or vendor_id == with_index.vendor_id or new:
            return with_index
        # A new id begins a call even under an index that is taken: some servers number all of them 0. Without
        # a name it does not: some servers send another id with every fragment.
        return with_id or (None if name else with_index)

    def _check_guess(self, index: Any, vendor_id: str, name: str) -> None:
        """A call that took the fragments of an index has those of another if that other one has begun now."""
        guess = None if index is None else self._last(lambda call: call.guessed_index == index)
        if guess is not None and ((vendor_id or guess.vendor_id), name or guess.wire_name) != (
            guess.vendor_id,
            guess.wire_name,
        ):
            guess.broken = True

    @staticmethod
    def _begins_another(call: _PartialCall, index: Any, name: str, arguments: str) -> bool:
        """Whether a name under a known id or index is a further call's."""
        if not name or not call.wire_name:
            return False
        if index is not None and index not in call.vendor_indexes:
            # One id under two indexes: two calls, unless the index grows with each fragment.
            return call.complete or not call.arguments or name != call.wire_name
        # Some servers number all calls 0.
        return call.complete and (bool(arguments) or name != call.wire_name)

    def _last(self, matches: Callable[[_PartialCall], bool]) -> _PartialCall | None:
        return next((call for call in reversed(self._calls) if matches(call)), None)
