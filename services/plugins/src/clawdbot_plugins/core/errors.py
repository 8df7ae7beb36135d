"""What can be wrong with a call to the plugin service, as exceptions that know no transport.

PluginsFailure
├── PluginNotFound · ToolNotFound   no such name; with the nearest one
├── ToolBusy                        more calls at once than the tool takes
├── ToolTimedOut                    the tool's own time was up; it was cancelled
├── ToolRefused                     a gate hook said no
│   └── ToolLimited                 and says when to come again
├── RequestIdReused                 the id was used for other arguments
├── OutcomeUnknown                  the call with this id was broken off midway
└── HookFailed                      a hook that must not fail did
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PluginsFailure(Exception):
    """A failure that the plugin service's error table knows."""


class PluginNotFound(PluginsFailure):
    """No plugin bears the name."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        self.name = name
        self.hint = _hint(name, known)
        super().__init__(f"no plugin {name}")


class ToolNotFound(PluginsFailure):
    """No tool bears the name."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        self.name = name
        self.hint = _hint(name, known)
        super().__init__(f"no tool {name}")


class ToolBusy(PluginsFailure):
    """The tool has as many calls in flight as it takes. Nothing was begun."""

    def __init__(self, tool: str, limit: int, retry_after: float = 1.0) -> None:
        self.tool = tool
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(f"{tool} has {limit} calls in flight")


class ToolTimedOut(PluginsFailure):
    """The tool did not end within the time that its author gave it."""

    def __init__(self, tool: str, seconds: float) -> None:
        self.tool = tool
        self.seconds = f"{seconds:g}"
        super().__init__(f"{tool} took longer than {seconds:g} s")


class ToolRefused(PluginsFailure):
    """A gate hook said no to the call."""

    def __init__(self, plugin: str, reason: str, message: str, retry_after: float | None = None) -> None:
        self.plugin = plugin
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        super().__init__(f"{plugin}: {reason}")


class ToolLimited(ToolRefused):
    """A refusal that time heals: `retry_after` is set."""

    retry_after: float


class RequestIdReused(PluginsFailure):
    """A request id stands for one call, and this is another one."""

    def __init__(self, tool: str, request_id: str) -> None:
        self.tool = tool
        self.request_id = request_id
        super().__init__(f"{tool}: {request_id} was used with other arguments")


class OutcomeUnknown(PluginsFailure):
    """A call with this id was broken off after it had begun; it may have done its work."""

    def __init__(self, tool: str, request_id: str) -> None:
        self.tool = tool
        self.request_id = request_id
        super().__init__(f"{tool}: what came of {request_id} is not known")


class HookFailed(PluginsFailure):
    """A hook that is registered to fail closed failed where there is no way to say no but an error."""

    def __init__(self, plugin: str, point: str) -> None:
        self.plugin = plugin
        self.point = point
        super().__init__(f"{plugin} failed at {point}")


def _hint(name: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known name, or none; "reserve" is near "tables.reserve"."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1) or [
        each for each in names if each.rpartition(".")[2] == name.rpartition(".")[2]
    ]
    return f" Did you mean {close[0]}?" if close else ""
