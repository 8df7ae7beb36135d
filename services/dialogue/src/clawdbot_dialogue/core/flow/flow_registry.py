"""Keeps flows by name and version. Reads no folders: the caller adds compiled flows."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from clawdbot_dialogue.core.flow.model import Flow


class FlowNotFound(LookupError):
    """There is no flow of that name, or it does not have that version."""

    def __init__(self, name: str, version: int | None = None) -> None:
        self.name = name
        self.version = version
        self.flow = f"{name} in version {version}" if version else name
        """For a sentence: "There is no flow book_table in version 7."."""
        super().__init__(f"there is no flow {self.flow}")


class FlowVersionExists(ValueError):
    """That version of the flow exists already, with another source."""

    def __init__(self, name: str, version: int) -> None:
        self.name = name
        self.version = version
        super().__init__(f"version {version} of the flow {name} exists with another source")


class FlowRegistry:
    """The flows that sessions can run.

    A version is never removed, because sessions are pinned to theirs.
    """

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, Flow]] = {}
        """By name and version; version 0 is the newest one once more."""

    def add(self, flow: Flow) -> None:
        """Adds a version; adding the same source again changes nothing.

        Raises:
            FlowVersionExists: the version exists with another source.
        """
        versions = self._versions.setdefault(flow.name, {})
        if flow.version in versions and versions[flow.version].source != flow.source:
            raise FlowVersionExists(flow.name, flow.version)
        versions.setdefault(flow.version, flow)
        versions[0] = versions[max(versions)]

    def get(self, name: str, version: int | None = None, /) -> Flow:
        """A flow; the newest version for None or 0.

        Raises:
            FlowNotFound: there is none.
        """
        versions = self._versions.get(name)
        found = versions.get(version or 0) if versions else None
        if found is None:
            raise FlowNotFound(name, version or None)
        return found

    def list(self) -> Sequence[Flow]:
        """The newest version of each flow, by name."""
        return [self.get(name) for name in sorted(self._versions)]


def shipped_flows() -> list[tuple[str, str]]:
    """The flows that ship with the service, as (file name, source), by name."""
    folder = resources.files("clawdbot_dialogue").joinpath("flows")
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name
    )
    return [(file.name, file.read_text(encoding="utf-8")) for file in files]
