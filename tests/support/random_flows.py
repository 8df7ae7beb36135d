"""Flows that nobody wrote: a strategy for everything that a flow may hold, in any arrangement that loads.

Every state says "+flow:path" when it is entered and "-flow:path" when it is left, so that a test can keep
count. Flows come as their source's document; `loaded` makes a flow of one, where it can be one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clawdbot_dialogue.core.flow.loader import examine
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
    """A state to be written: its kind, and the states within."""

    kind: str
    children: dict[str, _Node] = field(default_factory=dict)


@st.composite
def _nodes(draw: st.DrawFn, numbers: list[int], depth: int) -> dict[str, _Node]:
    """The states beside one another; a number names each, so that a name means one state alone."""
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


def _walk(nodes: Mapping[str, _Node], holder: str = "") -> list[tuple[str, _Node]]:
    found = []
    for name, node in nodes.items():
        path = f"{holder}.{name}" if holder else name
        found += [(path, node), *_walk(node.children, path)]
    return found


class _Writer:
    """Writes one flow's states down, drawing what each of them holds."""

    def __init__(self, draw: st.DrawFn, flow: str, nodes: Mapping[str, _Node]) -> None:
        self.draw = draw
        self.flow = flow
        self.nodes = dict(_walk(nodes))
        self.goals = list(self.nodes)

    def often(self, times: int) -> bool:
        """True once in so many times."""
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
        way: dict[str, Any] = {"to": self.pick(self.goals), **more}
        if self.often(2):
            way["if"] = self.pick(GUARDS)
        if self.often(3):
            way |= self.action()
        return way

    def following(self, kind: str) -> list[dict[str, Any]]:
        ways = [self.transition() for _ in range(self.draw(st.integers(0, 2)))]
        if kind in ("call", "generate", "subflow", "compound", "parallel") and self.often(2):
            ways.insert(0, self.transition(on_error=self.pick(["any", "failed", "unknown"])))
        if kind not in ("call", "subflow") and self.often(2):
            ways.insert(0, self.transition(event=self.pick([*EVENTS, "*", "handoff.return"])))
            if self.often(3):
                del ways[0]["to"]
        return ways

    def state(self, path: str) -> dict[str, Any]:
        node = self.nodes[path]
        if node.kind == "history":
            holder = path.rpartition(".")[0]
            inside = (each for each in self.goals if each.startswith(f"{holder}."))
            within = [each for each in inside if self.nodes[each].kind != "history"]
            return {
                "history": self.pick(["shallow", "deep"]),
                "next": [{"to": self.pick(within), "say": f"={self.flow}:{path}"}],
            }
        written: dict[str, Any] = self.counted(path)
        if node.kind != "end":
            written["next"] = self.following(node.kind)
        if node.kind not in ("end", "call", "subflow") and self.often(3):
            written["timeout"] = {"after": "1m", "to": self.pick(self.goals)}
        if node.kind in ("collect", "compound", "parallel") and self.often(3):
            written["no_match"] = {"retries": self.pick([0, 1]), "to": self.pick(self.goals)}
        return written | self.own(path, node)

    def counted(self, path: str) -> dict[str, Any]:
        """What is said and done on the way in and out."""
        way_in: list[dict[str, Any]] = [{"say": f"+{self.flow}:{path}"}]
        way_out: list[dict[str, Any]] = [{"say": f"-{self.flow}:{path}"}]
        if self.often(3):
            way_in.append(self.action())
        if self.often(4):
            way_out.append(self.action())
        return {"entry": way_in, "exit": way_out}

    def own(self, path: str, node: _Node) -> dict[str, Any]:
        """What makes the state what it is."""
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
    """A flow's document; most of them load."""
    nodes = draw(_nodes([], 0))
    writer = _Writer(draw, name, nodes)
    allow = ["cancel", *([OTHER] if name != OTHER else [])]
    return {
        "flow": name,
        "version": 1,
        "triggers": [f"start {name}"],
        "slots": SLOTS,
        "states": {each: writer.state(each) for each in nodes},
        "interrupts": {"allow": allow, "resume": draw(st.sampled_from(["reask", "silent"]))},
    }


def loaded(document: Mapping[str, Any]) -> Flow | None:
    """The flow, or None where the document has faults."""
    return examine(json.dumps(document), "random.yaml").flow
