"""Rules that send requests to another model, by conditions in CEL.

A condition is checked when it is compiled, and costs bounded time and memory: the library bounds the rounds
of all its loops together, and what a round can cost is bounded here. That matters to all calls: the library
holds the GIL while it evaluates a condition, so that a thread would not spare them the wait.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from cel_expr_python import cel  # type: ignore[import-untyped]  # has stubs, but no py.typed
from clawdbot.model_gateway.v1.generation_pb2 import DESCRIPTOR, GenerateRequest
from clawdbot_servicekit.log_content import Content

from clawdbot_model_gateway.core.routing.cel_words import cause, constant_patterns, explanation, plain_type

log = structlog.get_logger(__name__)

MAX_LENGTH: Final = 2000
"""Characters of a condition."""
MAX_JOINS: Final = 4
"""Places in a condition that make new texts or lists out of others. Each makes a copy."""
MAX_PATTERN_SECONDS: Final = 0.001
"""Processor time of a pattern on an empty text. It is compiled for each text: common ones take 0.02 ms."""
MAX_LOOP_PATTERN_SECONDS: Final = 0.0002
"""The same in a condition that loops: each round compiles it once more."""
_LOOP: Final = b"@result"
"""In a compiled condition: the variable of a loop's result."""
_JOINS: Final = (b"add_string", b"add_bytes", b"add_list", b"string_to_bytes", b"bytes_to_string")
"""Names of what makes new texts and lists, as a compiled condition has them."""
_FIELD: Final = re.compile(r"\brequest\b(?:\s*\.\s*(\w+))?")
_MATCHES: Final = re.compile(r"\bmatches\s*\(")
_BUILDS_LISTS: Final = re.compile(r"\b(map|filter)\b\s*\(")
_NO_VALUE: Final = "NOT_FOUND"
"""Of a condition that reads a label which the request does not have: it does not hold."""


class InvalidCondition(ValueError):
    """The condition cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Sends the requests that meet a condition to a model."""

    condition: Any
    """The compiled condition."""
    text: str
    model: str
    """An alias, or a target."""


class RoutingRules:
    """Rules, the first of which that holds is followed.

    Args:
        rules: pairs of a condition and a model.

    Raises:
        InvalidCondition: a condition cannot be used.
    """

    def __init__(self, rules: Sequence[tuple[str, str]]) -> None:
        self._environment = _environment()
        self._rules = [Rule(_compiled(self._environment, text), text, model) for text, model in rules]
        self._fields = {found[1] for text, _ in rules for found in _FIELD.finditer(text)}

    def model_for(self, request: GenerateRequest, tenant: str) -> str:
        """The model of the first rule that holds; empty where none does."""
        scope = {"request": self._view(request), "tenant": tenant, "labels": dict(request.metadata)}
        activation = self._environment.Activation(scope)
        for rule in self._rules:
            try:
                holds = rule.condition.eval(activation).value()
            except RuntimeError as error:  # Its loops take too many rounds.
                holds = error
            if holds is True:
                return rule.model
            if holds is not False and not str(holds).startswith(_NO_VALUE):
                reason = str(holds)
                log.warning(
                    "routing_rule_failed", rule=rule.text, cause=cause(reason), detail=Content(reason)
                )
        return ""

    def _view(self, request: GenerateRequest) -> GenerateRequest:
        """What rules read of a request: conversations are long, and few rules look at them."""
        if None in self._fields or "messages" in self._fields:
            return request  # a copy takes longer than what it spares
        view = GenerateRequest()
        for field, value in request.ListFields():
            if field.name not in self._fields:
                continue
            if field.is_repeated or field.message_type is not None:
                getattr(view, field.name).MergeFrom(value)
            else:
                setattr(view, field.name, value)
        return view


def check_condition(text: str) -> None:
    """Returns where a condition can be used.

    Raises:
        InvalidCondition: it is not CEL, reads what is not there, or is neither true nor false.
    """
    _compiled(_environment(), text)


def _environment() -> Any:
    types = {
        "request": cel.Type(GenerateRequest.DESCRIPTOR.full_name),
        "tenant": cel.Type.STRING,
        "labels": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    }
    # The package is the container, so that a rule may say `Priority.PRIORITY_BATCH`.
    return cel.NewEnv(DESCRIPTOR.pool, variables=types, container=DESCRIPTOR.package)


def _compiled(environment: Any, text: str) -> Any:
    if len(text) > MAX_LENGTH:
        raise InvalidCondition(f"has {len(text)} characters; at most {MAX_LENGTH} are allowed")
    if found := _BUILDS_LISTS.search(text):
        raise InvalidCondition(f"{found[1]}() is not allowed, as it builds lists; use exists() or all()")
    try:
        condition = environment.compile(text)
    except RuntimeError as error:
        raise InvalidCondition(explanation(str(error))) from None
    kind = condition.return_type()
    if kind != cel.Type.BOOL:
        raise InvalidCondition(
            f"expected a condition, which is true or false; this is {plain_type(kind.name())}"
        )
    compiled = condition.serialize()
    loops = _LOOP in compiled
    joins = sum(map(compiled.count, _JOINS))
    allowed = 0 if loops else MAX_JOINS
    if joins > allowed:
        where = "in a condition that loops" if loops else f"more than {allowed} times"
        raise InvalidCondition(f"texts and lists cannot be joined or converted {where}: each makes a copy")
    patterns = [*constant_patterns(text)]
    if loops and len(_MATCHES.findall(text)) > len(patterns):
        raise InvalidCondition("the pattern of a matches() in a condition that loops must be written in it")
    _check_patterns(environment, patterns, MAX_LOOP_PATTERN_SECONDS if loops else MAX_PATTERN_SECONDS)
    return condition


def _check_patterns(environment: Any, patterns: Sequence[str], max_seconds: float) -> None:
    """An invalid pattern that is written in the condition would only be found by the first request."""
    for pattern in patterns:
        # By the library itself: its regular expressions are not those of Python.
        search = environment.compile(f'"".matches({pattern})')
        # More than once, as the processor may have been slow.
        for _ in range(3):
            began = time.thread_time()
            found = search.eval(environment.Activation({})).value()
            took = time.thread_time() - began
            if took <= max_seconds:
                break
        if not isinstance(found, bool):
            what = str(found).rpartition("regular expression: ")[2].rpartition(": ")[0]
            raise InvalidCondition(f"{pattern} is not a regular expression{': ' if what else ''}{what}")
        if took > max_seconds:
            large = f"{pattern} is too large: it takes {took * 1000:.1f} ms for each text; repeat less"
            raise InvalidCondition(large)
