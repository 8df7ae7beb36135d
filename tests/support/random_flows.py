"""Random flows: a hypothesis strategy for everything that a flow may contain, in any valid arrangement.

Every state says "+flow:path" when it is entered and "-flow:path" when it is exited, so that a test can keep
count. The strategy draws documents; `loaded` compiles one, if it is valid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clawdbot_dialogue.core.flow.loader import validate_flow
from clawdbot_dialogue.core.flow.model import Flow
from hypothesis import strategies as st

SLOTS = {
    "size": {"type": "integer", "min": 1, "max": 20, "hints": ["people"], "ask": "How many?"},
    "name": {"type": "string", "ask": "Which name?"},
    "colour": {"type": "enum", "values": ["red", "blue"], "ask": "Red or blue?"},
    "fine": {"type": "boolean", "fill": "asked_only", "ask": "Is {size} fine?"},
    "count": {"type": "integer", "max": 6},
    "when": {"type": "datetime", "min": "now", "max": "now+9d", "ask": "When?"},
    "home": {
        "type": "object",
        "fields": {
            "since": {"type": "datetime", "required": False, "min": "now-9d", "ask": "Since when?"},
            "town": {"type": "string", "ask": "Which town?"},
        },
    },
    "guests": {
        "type": "list",
        "items": {"type": "string"},
        "more": "Who else?",
        "max_items": 3,
        "ask": "Who?",
    },
    "visits": {"type": "list", "items": {"type": "datetime", "min": "now"}, "more": "Else?", "ask": "When?"},
    "rows": {
        "type": "list",
        "more": "Another row?",
        "items": {
            "type": "object",
            "fields": {
                "shade": {"type": "enum", "values": ["light", "dark"], "ask": "Light or dark?"},
                "length": {"type": "integer", "max": 30, "ask": "How long?"},
            },
        },
    },
}
ASKED = ["size", "name", "colour", "fine", "when", "home", "guests", "visits", "rows"]
GUARDS = [
    "slots.size > 3",
    "has(slots.name)",
    "slots.fine",
    "slots.colour == 'red'",
    "slots.count < 3",
    "result.ok",
    "event.name == 'e1'",
    "turn.number > 3",
    "size(slots.guests) > 1",
    "slots.rows[0].length > 4",
    "slots.home.town == 'Rome' && slots.when > '2026-11-26'",
]
EVENTS = ["e1", "e2", "e1.more", "r1"]
LEAVES = ["collect", "collect", "say", "choice", "call", "generate", "subflow", "handoff", "end", "end"]
OTHER = "other"
"""The flow that "main" calls and may be interrupted by."""


@dataclass
class _Node:
    """A state to be generated: its kind and its child states."""

    kind: str
    children: dict[str, _Node] = field(default_factory=dict)


@st.composite
def _nodes(draw: st.DrawFn, numbers: list[int], depth: int) -> dict[str, _Node]:
    """Sibling states; names are numbered, so that each is unique in the flow."""
    nodes = {}
    for _ in range(draw(st.integers(1, 3 if depth else 4))):
        deep = depth < 3 and len(numbers) < 14
        kind = draw(st.sampled_from([*LEAVES, *(["compound"] * 3 + ["parallel"] * 2 if deep else [])]))
        numbers.append(0)
        name = f"s{len(numbers)}"
        children: dict[str, _Node] = {}
        if kind == "compound":
            children = draw(_nodes(numbers, depth + 1))
            if draw(st.booleans()):
                numbers.append(0)
                children[f"s{len(numbers)}"] = _Node("history")
        elif kind == "parallel":
            for _ in range(draw(st.integers(2, 3))):
                numbers.append(0)
                region = f"s{len(numbers)}"
                children[region] = _Node("compound", draw(_nodes(numbers, depth + 2)))
                if draw(st.booleans()):
                    numbers.append(0)
                    children[region].children[f"s{len(numbers)}"] = _Node("history")
        nodes[name] = _Node(kind, children)
    return nodes


def _walk(nodes: Mapping[str, _Node], parent: str = "") -> list[tuple[str, _Node]]:
    found = []
    for name, node in nodes.items():
        path = f"{parent}.{name}" if parent else name
        found += [(path, node), *_walk(node.children, path)]
    return found


class _Generator:
    """Generates the states of one flow, and draws what each of them contains."""

    def __init__(self, draw: st.DrawFn, flow: str, nodes: Mapping[str, _Node]) -> None:
        self.draw = draw
        self.flow = flow
        self.nodes = dict(_walk(nodes))
        self.targets = list(self.nodes)

    def often(self, times: int) -> bool:
        """True once in this many times."""
        return self.draw(st.integers(1, times)) == 1

    def pick(self, choices: list[Any]) -> Any:
        return self.draw(st.sampled_from(choices))

    def action(self) -> dict[str, Any]:
        return self.pick(
            [
                {"set": {"count": "${slots.count + 1}"}},
                {"set": {"count": 0}},
                {"set": {"size": "${slots.count}"}},
                {"set": {"colour": "red", "name": "{colour}"}},
                {"clear": ["size"]},
                {"clear": ["when", "home", "guests", "visits", "rows"]},
                {"set": {"guests": ["Eve"], "home": {"town": "{name}"}}},
                {"clear": ["name", "colour", "count"]},
                {"say": "{name} {event.name}"},
                {"raise": "r1"},
                {"raise": "e1"},
            ]
        )

    def transition(self, **more: Any) -> dict[str, Any]:
        transition: dict[str, Any] = {"to": self.pick(self.targets), **more}
        if self.often(2):
            transition["if"] = self.pick(GUARDS)
        if self.often(3):
            transition |= self.action()
        return transition

    def transitions(self, kind: str) -> list[dict[str, Any]]:
        transitions = [self.transition() for _ in range(self.draw(st.integers(0, 2)))]
        if kind in ("call", "generate", "subflow", "compound", "parallel") and self.often(2):
            transitions.insert(0, self.transition(on_error=self.pick(["any", "failed", "unknown"])))
        if kind not in ("call", "subflow") and self.often(2):
            transitions.insert(0, self.transition(event=self.pick([*EVENTS, "*", "handoff.return"])))
            if self.often(3):
                del transitions[0]["to"]
        return transitions

    def state(self, path: str) -> dict[str, Any]:
        node = self.nodes[path]
        if node.kind == "history":
            parent = path.rpartition(".")[0]
            descendants = (each for each in self.targets if each.startswith(f"{parent}."))
            defaults = [each for each in descendants if self.nodes[each].kind != "history"]
            return {
                "history": self.pick(["shallow", "deep"]),
                "next": [{"to": self.pick(defaults), "say": f"={self.flow}:{path}"}],
            }
        declaration: dict[str, Any] = self.counted(path)
        if node.kind != "end":
            declaration["next"] = self.transitions(node.kind)
        if node.kind not in ("end", "call", "subflow") and self.often(3):
            declaration["timeout"] = {"after": "1m", "to": self.pick(self.targets)}
        if node.kind in ("collect", "compound", "parallel") and self.often(3):
            declaration["no_match"] = {"retries": self.pick([0, 1]), "to": self.pick(self.targets)}
        return declaration | self.own(path, node)

    def counted(self, path: str) -> dict[str, Any]:
        """The entry and exit actions, which say that they run."""
        entry: list[dict[str, Any]] = [{"say": f"+{self.flow}:{path}"}]
        exit_: list[dict[str, Any]] = [{"say": f"-{self.flow}:{path}"}]
        if self.often(3):
            entry.append(self.action())
        if self.often(4):
            exit_.append(self.action())
        return {"entry": entry, "exit": exit_}

    def own(self, path: str, node: _Node) -> dict[str, Any]:
        """The keys that determine the kind of the state."""
        match node.kind:
            case "collect":
                return {"collect": self.draw(st.lists(st.sampled_from(ASKED), min_size=1, max_size=2))}
            case "say":
                return {"say": "{name}."}
            case "call":
                return {
                    "call": {
                        "tool": "t",
                        "args": {"n": self.pick(["${slots.size}", 1])},
                        "effect": self.pick(["none", "once"]),
                    }
                }
            case "generate":
                return {"generate": {"instructions": "Talk."}, "wait": self.often(2)}
            case "subflow":
                give = {"size": "${slots.size}"} if self.often(3) else {}
                take = {"name": "name"} if self.often(3) else {}
                return {"subflow": {"flow": OTHER, "give": give, "take": take}}
            case "handoff":
                return {"handoff": "desk"}
            case "end":
                return {"end": True}
            case "compound":
                return {"states": {name: self.state(f"{path}.{name}") for name in node.children}}
            case "parallel":
                return {"parallel": {name: self.region(f"{path}.{name}") for name in node.children}}
        return {}

    def region(self, path: str) -> dict[str, Any]:
        children = self.nodes[path].children
        states = {name: self.state(f"{path}.{name}") for name in children}
        return {**self.counted(path), "states": states}


@st.composite
def documents(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Documents of flows; most of them are valid."""
    nodes = draw(_nodes([], 0))
    generator = _Generator(draw, name, nodes)
    allow = ["cancel", *([OTHER] if name != OTHER else [])]
    return {
        "flow": name,
        "version": 1,
        "triggers": [f"start {name}"],
        "slots": SLOTS,
        "states": {each: generator.state(each) for each in nodes},
        "interrupts": {"allow": allow, "resume": draw(st.sampled_from(["reask", "silent"]))},
    }


def loaded(document: Mapping[str, Any]) -> Flow | None:
    """The compiled flow; None if the document is not valid."""
    return validate_flow(json.dumps(document), "random.yaml").flow
