"""The script of a scripted backend: a list of replies, from a YAML file or the configuration itself.

The format is documented in docs/model_gateway.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings import ConfigPath, Seconds, Section
from pydantic import Field, ValidationError, field_validator, model_validator

from clawdbot_model_gateway.core import errors as failures

FAULTS: Final = {
    "auth": failures.BackendAuth,
    "rate_limited": failures.RateLimited,
    "quota": failures.QuotaExhausted,
    "overloaded": failures.BackendOverloaded,
    "failed": failures.BackendFailed,
    "unreachable": failures.BackendUnreachable,
    "timeout": failures.BackendTimeout,
    "protocol": failures.ProtocolViolation,
    "refused": failures.RequestRefused,
    "context_too_long": failures.ContextTooLong,
    "model_missing": failures.ModelMissing,
}
"""Word in a script → the failure that it brings about."""

FINISHES: Final = {
    name.removeprefix("FINISH_REASON_").lower(): number for name, number in FinishReason.items() if number
}
"""Word in a script → finish reason."""


class Fault(Section):
    """What goes wrong with a reply."""

    kind: str
    """A word of FAULTS; or hang: silence until the caller gives up; or cut: the connection ends."""
    after: Annotated[int, Field(ge=0)] = 0
    """Pieces that come before it."""
    retry_after: Seconds | None = None
    """What the vendor asks for, where the kind is one that passes."""

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        known = [*FAULTS, "hang", "cut"]
        if kind not in known:
            raise ValueError(f"one of {', '.join(known)}")
        return kind


class ScriptedCall(Section):
    """A tool call."""

    name: Annotated[str, Field(min_length=1)]
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    id: str = ""
    """Left out: call_1, call_2 …"""


class ScriptedUsage(Section):
    """What the vendor reports."""

    input: Annotated[int, Field(ge=0)] = 0
    output: Annotated[int, Field(ge=0)] = 0
    cached: Annotated[int, Field(ge=0)] = 0
    reasoning: Annotated[int, Field(ge=0)] = 0


class ScriptedReply(Section):
    """One reply, and when it is given: where everything that is said of when holds."""

    when: str | None = None
    """A text that the last message contains, whatever the case."""
    after_tool: str | None = None
    """The last message is a result of this tool."""
    model: str | None = None
    """The model that is asked for."""
    times: Annotated[int, Field(ge=1)] | None = None
    """How often it is given, after which the ones below it have their turn; left out: any number."""

    reasoning: str = ""
    text: str = ""
    tool_calls: tuple[ScriptedCall, ...] = ()
    finish: str | None = None
    """A finish reason in lower case; left out: tool_calls where there are some, else stop."""
    raw_finish: str | None = None
    """The vendor's own word for it; left out: the same word."""
    usage: ScriptedUsage | None = None
    """Left out: nothing is reported, and the gateway estimates."""
    delay: Seconds = 0.0
    """Before the first piece."""
    pace: Seconds = 0.0
    """Between two pieces."""
    fault: Fault | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_fault(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("fault"), str):
            return {**values, "fault": {"kind": values["fault"]}}
        return values

    @model_validator(mode="after")
    def _known_finish(self) -> ScriptedReply:
        if self.finish is not None and self.finish not in FINISHES:
            raise ValueError(f"finish: one of {', '.join(sorted(FINISHES))}")
        return self


class ScriptedSettings(Section):
    """The keys of a scripted backend: one of the two."""

    replies: tuple[ScriptedReply, ...] = ()
    file: ConfigPath | None = None
    """A YAML file with the one key `replies`."""

    @model_validator(mode="after")
    def _one_source(self) -> ScriptedSettings:
        if bool(self.replies) == (self.file is not None):
            raise ValueError("give replies, or a file that holds them")
        return self

    def script(self) -> tuple[ScriptedReply, ...]:
        """The replies.

        Raises:
            StartupError: the file cannot be read, or is no script; with its place.
        """
        return self.replies if self.file is None else _read(self.file)


def _read(path: Path) -> tuple[ScriptedReply, ...]:
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartupError(f"{path}: cannot read the script: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise StartupError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}.") from None
    if not isinstance(plain, dict) or set(plain) != {"replies"} or not plain["replies"]:
        raise StartupError(f"{path}: a script is a list of replies under the one key `replies`.")
    try:
        return ScriptedSettings.model_validate({"replies": plain["replies"]}).replies
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(map(str, each['loc']))}: {each['msg']}."
            for each in error.errors(include_url=False, include_input=False)
        ]
        raise StartupError("\n".join(lines)) from None
