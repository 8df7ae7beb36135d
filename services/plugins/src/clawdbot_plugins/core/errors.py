"""What can go wrong with a call to the plugin service, as exceptions that know no transport.

PluginError
├── PluginNotFound · ToolNotFound   no such name; with the nearest one
├── ToolBusy                        the tool's limit of concurrent calls is reached
├── ToolTimedOut                    the tool exceeded its timeout and was cancelled
├── ToolUnavailable                 the tool could not do its work for now, and did nothing
├── ToolRefused                     a gate hook refused the call
│   └── ToolLimited                 and said when to retry
├── RequestIdReused                 the id was used with other arguments
├── OutcomeUnknown                  an earlier call with this id was interrupted
└── HookFailed                      a hook that fails closed failed
"""

from __future__ import annotations

from collections.abc import Iterable

from clawdbot_servicekit.suggestions import did_you_mean, nearest


class PluginError(Exception):
    """An error that is in the plugin service's error table."""


class PluginNotFound(PluginError):
    """No plugin has this name."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        self.name = name
        self.hint = _hint(name, known)
        super().__init__(f"no plugin {name}")


class ToolNotFound(PluginError):
    """No tool has this name."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        self.name = name
        self.hint = _hint(name, known)
        super().__init__(f"no tool {name}")


class ToolBusy(PluginError):
    """The tool's limit of concurrent calls is reached. Nothing was started."""

    def __init__(self, tool: str, limit: int, retry_after: float = 1.0) -> None:
        self.tool = tool
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(f"{tool} has {limit} calls in flight")


class ToolTimedOut(PluginError):
    """The tool exceeded the timeout that its author set."""

    def __init__(self, tool: str, seconds: float) -> None:
        self.tool = tool
        self.seconds = f"{seconds:g}"
        super().__init__(f"{tool} took longer than {seconds:g} s")


class ToolUnavailable(PluginError):
    """The tool cannot do its work for now, because something that it needs fails. It had no effect."""

    def __init__(self, tool: str, retry_after: float = 1.0) -> None:
        self.tool = tool
        self.retry_after = retry_after
        super().__init__(f"{tool} is unavailable")


class ToolRefused(PluginError):
    """A gate hook refused the call."""

    def __init__(self, plugin: str, reason: str, message: str, retry_after: float | None = None) -> None:
        self.plugin = plugin
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        super().__init__(f"{plugin}: {reason}")


class ToolLimited(ToolRefused):
    """A temporary refusal: `retry_after` is set."""

    retry_after: float


class RequestIdReused(PluginError):
    """A request id identifies one call, and this is a different one."""

    def __init__(self, tool: str, request_id: str) -> None:
        self.tool = tool
        self.request_id = request_id
        super().__init__(f"{tool}: {request_id} was used with other arguments")


class OutcomeUnknown(PluginError):
    """An earlier call with this id was interrupted after it had started; it may have had its effect."""

    def __init__(self, tool: str, request_id: str) -> None:
        self.tool = tool
        self.request_id = request_id
        super().__init__(f"{tool}: the outcome of {request_id} is unknown")


class HookFailed(PluginError):
    """A hook that fails closed failed where only an error can stop the operation."""

    def __init__(self, plugin: str, point: str) -> None:
        self.plugin = plugin
        self.point = point
        super().__init__(f"{plugin} failed at {point}")


def _hint(name: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known name, or ""; "reserve" is near "tables.reserve"."""
    names = list(known)
    tool = name.rpartition(".")[2]
    return did_you_mean(
        nearest(name, names) or next((each for each in names if each.rpartition(".")[2] == tool), "")
    )
