"""Assembles tool calls from the fragments of a stream.

OpenAI numbers the fragments and sends id and name only with the first one. Other servers leave the index
out, always send 0, repeat the id, give two calls one id, cut the name, send a call at once, or all of them
once more at the end; every one of these is in use. Fragments that cannot be told apart make no call: the
reply ends in MODEL_ERROR.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.gemini import thought_signatures
from clawdbot_model_gateway.formats.text_joiner import TextJoiner
from clawdbot_model_gateway.formats.tool_call import (
    PLACEHOLDER_TEXTS,
    CallIds,
    added_by,
    call_from_text,
    is_same_json,
)
from clawdbot_model_gateway.formats.vendor_json import as_string, dump_exactly

ARGUMENTS: Final = ("arguments", "parameters", "input", "args")
"""Fields of the arguments: OpenAI's, and of servers that pass on what other APIs or the models write."""


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
        self.placeholder = ""
        """A fragment that counts if no others follow."""
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
        if self.placeholder and not self.arguments:
            return True
        return self.arguments.rstrip().endswith("}") and call_from_text("", "", self.arguments) is not None

    def is_repeated_by(self, arguments: str) -> bool:
        """Whether a piece is all of its arguments once more."""
        whole = arguments.lstrip().startswith("{") and arguments.rstrip().endswith("}")
        return whole and self.complete and is_same_json(arguments, self.arguments or self.placeholder)

    def may_be(self, vendor_id: str, arguments: str) -> bool:
        """Whether a whole call at the same place may repeat it: some servers do under another id."""
        other_id = bool(self.vendor_id and vendor_id) and self.vendor_id != vendor_id
        return not other_id or arguments.startswith(self.arguments)

    def may_be_named(self, name: str) -> bool:
        """Whether this is its whole name."""
        return name == self.wire_name or (not self.started and name.startswith(self.wire_name))


class ToolCallAccumulator:
    """The calls of one reply."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._ids = CallIds("call")
        self._calls: list[_PartialCall] = []
        self._started = 0

    @property
    def begun(self) -> bool:
        """Whether any part of a call has come."""
        return bool(self._calls)

    def add(self, fragments: Any, out: list[Event]) -> None:
        """Adds the events of the fragments in one chunk."""
        for fragment in _objects(fragments):
            self._add_fragment(fragment, out)

    def add_whole(self, calls: Any, out: list[Event]) -> None:
        """Adds the events of a message's calls, each with all that it has: new ones, and what others lack."""
        known = [*self._calls]
        for position, whole in enumerate(_objects(calls)):
            name, arguments, vendor_id = _read(whole)
            if not name:
                self._add_fragment(whole, out)
                continue
            call = next((each for each in known if vendor_id and each.vendor_id == vendor_id), None)
            if call is None and position < len(known) and known[position].may_be(vendor_id, arguments):
                call = known[position]
            if call is not None and not call.may_be_named(name):
                call = None
            if call is None:
                call = _PartialCall(None, vendor_id)
                self._calls.append(call)
            call.signature = call.signature or thought_signatures.in_extra_content(whole)
            call.wire_name = name
            if not call.started:
                self._start(call, out)
            if arguments.startswith(call.arguments):
                self._add_arguments(call, call.text.add(arguments[len(call.arguments) :]), out)

    def are_repeated_in(self, calls: Any) -> bool:
        """Whether a message's calls begin with all that has come of them."""
        came = [call.arguments for call in self._calls]
        whole = [_read(each)[1] for each in _objects(calls)][: len(came)]
        return any(came) and len(whole) == len(came) and all(map(str.startswith, whole, came))

    def finish(self, out: list[Event], *, names_cut: bool = False) -> Iterator[bool]:
        """Adds the last events of each complete call; yields for each call whether it is complete.

        Args:
            out: the events are added here.
            names_cut: whether the reply may end in the middle of a tool's name.
        """
        strays = any(call.broken or (call.arguments and not call.wire_name) for call in self._calls)
        for call in self._calls:
            if not call.started and self._is_whole(call.wire_name, names_cut=names_cut):
                self._start(call, out)
            self._add_arguments(call, call.text.end() or ("" if call.arguments else call.placeholder), out)
            parsed = None
            # Arguments without a call may be those of one that has none.
            if call.started and not call.broken and (call.arguments or not strays):
                parsed = call_from_text(call.id, self._names.from_wire(call.wire_name), call.arguments)
            if parsed is not None:
                parsed.signature = call.signature
                out.append(events.tool_call_done(call.index, parsed))
            yield parsed is not None

    def _add_fragment(self, fragment: dict[str, Any], out: list[Event]) -> None:
        name, arguments, vendor_id = _read(fragment)
        index = _index_of(fragment)
        call = self._call_of(index, vendor_id, name, arguments)
        if call is None:
            return
        call.signature = call.signature or thought_signatures.in_extra_content(fragment)
        if name:
            self._add_name(call, name, out)
        if call.is_repeated_by(arguments):
            arguments = ""
        elif name or vendor_id:
            # The pieces of servers that repeat all of a call grow; others may be equal.
            arguments = added_by(arguments, call.arguments)
        if not call.arguments and arguments in PLACEHOLDER_TEXTS:
            call.placeholder = call.placeholder or arguments
        else:
            self._add_arguments(call, call.text.add(arguments), out)
        if not call.started and (call.arguments or call.placeholder) and self._is_whole(call.wire_name):
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

    def _is_whole(self, wire_name: str, *, names_cut: bool = False) -> bool:
        """Whether a name can be taken for complete once arguments have come, or the reply has ended."""
        if not wire_name or not self._names.is_cut(wire_name):
            return bool(wire_name)
        return not names_cut and self._names.is_known(wire_name)

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
        if known is not None and not self._begins_another(known, index, vendor_id, name, arguments):
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

    def _begins_another(
        self, call: _PartialCall, index: Any, vendor_id: str, name: str, arguments: str
    ) -> bool:
        """Whether a name under a known id or index is a further call's."""
        if not name or not call.wire_name:
            return False
        if index is not None and index not in call.vendor_indexes:
            # One id under two indexes: two calls, unless the index grows with each fragment.
            return call.complete or not call.arguments or name != call.wire_name
        same = (name, vendor_id) == (call.wire_name, call.vendor_id) and (vendor_id or self._are_numbered)
        if same and (arguments == call.arguments or call.is_repeated_by(arguments)):
            return False  # The same call once more.
        # Some servers number all calls 0.
        return call.complete and (bool(arguments) or name != call.wire_name)

    @property
    def _are_numbered(self) -> bool:
        """Whether the indexes tell the calls apart: some servers number all of them 0."""
        return len({index for call in self._calls for index in call.vendor_indexes}) > 1

    def _last(self, matches: Callable[[_PartialCall], bool]) -> _PartialCall | None:
        return next((call for call in reversed(self._calls) if matches(call)), None)


def _objects(values: Any) -> list[dict[str, Any]]:
    """The objects of a list. Some servers send a lone call without one."""
    values = values if isinstance(values, list) else [values]
    return [each for each in values if isinstance(each, dict)]


def _read(fragment: dict[str, Any]) -> tuple[str, str, str]:
    """Name, arguments as text, and id of a call or of a piece of it, of which any may be empty.

    Some servers send the arguments as JSON in JSON, or under another name, or leave `function` out.
    Anything but an object is kept as text, so that the call is not taken for one without arguments. PHP's
    empty object is [].
    """
    function = fragment.get("function")
    function = function if isinstance(function, dict) else fragment
    given = (function[name] for name in ARGUMENTS if function.get(name) is not None)
    arguments = next(given, None)
    if not isinstance(arguments, str):
        arguments = "" if arguments is None or arguments == [] else dump_exactly(arguments)
    vendor_id = fragment.get("id") or fragment.get("call_id")
    return (
        as_string(function.get("name")),
        arguments,
        str(vendor_id) if isinstance(vendor_id, int | str) else "",
    )


def _index_of(fragment: dict[str, Any]) -> str | None:
    """The vendor's number of the call, as text: some servers write 0 and "0"."""
    index = fragment.get("index")
    return str(index).removesuffix(".0") if isinstance(index, int | float | str) else None
