"""What the members and the packages need, according to their metadata."""

from __future__ import annotations

from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]

IMAGES = {
    "suite": "clawdbot-cli",
    "dialogue": "clawdbot-dialogue",
    "model_gateway": "clawdbot-model-gateway",
    "plugins": "clawdbot-plugins",
}
"""The images, and the member that each of them runs."""


def needed(*names: str) -> set[str]:
    """The names, and what they need on this platform, all the way down."""
    found: set[tuple[str, str]] = set()
    rest = [Requirement(name) for name in names]
    while rest:
        requirement = rest.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            for line in requires(name) or []:
                below = Requirement(line)
                if below.marker is None or below.marker.evaluate({"extra": extra}):
                    rest.append(below)
    return {name for name, _ in found}


def members(names: set[str]) -> set[str]:
    """Those of the packages that are members of this workspace."""
    return {name for name in names if name.startswith("clawdbot-")}
