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
from clawdbot_servicekit.regular_files import read_regular
from clawdbot_servicekit.settings import ConfigPath, Seconds, Section, Wait, Whole
from clawdbot_servicekit.settings.values import MAX_COUNT
from clawdbot_servicekit.validation_words import section_errors
from pydantic import Field, ValidationError, field_validator, model_validator

from clawdbot_model_gateway.core import errors

SCRIPTED_ERRORS: Final = {
    "auth": errors.BackendAuth,
    "rate_limited": errors.RateLimited,
    "quota": errors.QuotaExhausted,
    "overloaded": errors.BackendOverloaded,
    "failed": errors.BackendFailed,
    "unreachable": errors.BackendUnreachable,
    "timeout": errors.BackendTimeout,
    "protocol": errors.ProtocolViolation,
    "refused": errors.RequestRefused,
    "context_too_long": errors.ContextTooLong,
    "model_missing": errors.ModelMissing,
}
"""Kind of error in a script → the error that it raises."""

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
"""Of a script."""

FINISH_REASONS: Final = {
    name.removeprefix("FINISH_REASON_").lower(): number for name, number in FinishReason.items() if number
}
"""Finish reason in a script → ours."""


class ScriptedError(Section):
    """An error that interrupts a reply."""

    kind: str
    """A key of the table above; or hang: silence until the caller gives up; or cut: the connection ends."""
    after: Annotated[Whole, Field(ge=0, le=MAX_COUNT)] = 0
    """Chunks that come before it."""
    retry_after: Seconds | None = None
    """What the vendor asks for, if the kind is transient."""

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        known = [*SCRIPTED_ERRORS, "hang", "cut"]
        if kind not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return kind


class ScriptedCall(Section):
    """A tool call."""

    name: Annotated[str, Field(min_length=1)]
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    id: str = ""
    """Left out: call_1, call_2 …"""


class ScriptedUsage(Section):
    """What the vendor reports."""

    input: Annotated[Whole, Field(ge=0, le=MAX_COUNT)] = 0
    output: Annotated[Whole, Field(ge=0, le=MAX_COUNT)] = 0
    cached: Annotated[Whole, Field(ge=0, le=MAX_COUNT)] = 0
    reasoning: Annotated[Whole, Field(ge=0, le=MAX_COUNT)] = 0


class ScriptedReply(Section):
    """One reply, and the conditions for it, which must all hold."""

    when: str | None = None
    """A text that the last message contains, ignoring case."""
    after_tool: str | None = None
    """The last message contains a result of this tool."""
    model: str | None = None
    """The model that is asked for."""
    times: Annotated[Whole, Field(ge=1, le=MAX_COUNT)] | None = None
    """How often it is used before the replies below it get their turn; left out: any number."""

    reasoning: str = ""
    text: str = ""
    tool_calls: tuple[ScriptedCall, ...] = ()
    finish: str | None = None
    """A finish reason in lower case; left out: tool_calls if there are some, else stop."""
    raw_finish: str | None = None
    """The vendor's own finish reason; left out: the same word."""
    usage: ScriptedUsage | None = None
    """Left out: nothing is reported, and the gateway estimates."""
    delay: Wait = 0.0
    """Before the first chunk."""
    pace: Wait = 0.0
    """Between two chunks."""
    fault: ScriptedError | None = None

    @model_validator(mode="before")
    @classmethod
    def _expand_fault(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("fault"), str):
            return {**values, "fault": {"kind": values["fault"]}}
        return values

    @model_validator(mode="after")
    def _known_finish(self) -> ScriptedReply:
        if self.finish is not None and self.finish not in FINISH_REASONS:
            raise ValueError(f"finish: must be one of {', '.join(sorted(FINISH_REASONS))}")
        return self


class ScriptedSettings(Section):
    """The keys of a scripted backend: exactly one of the two."""

    replies: tuple[ScriptedReply, ...] = ()
    file: ConfigPath | None = None
    """A YAML file with the single key `replies`."""

    @model_validator(mode="after")
    def _one_source(self) -> ScriptedSettings:
        if bool(self.replies) == (self.file is not None):
            raise ValueError("give replies, or a file that holds them")
        return self

    def script(self) -> tuple[ScriptedReply, ...]:
        """The replies.

        Raises:
            StartupError: the file cannot be read or is not a script; with its place.
        """
        return self.replies if self.file is None else _read(self.file)


def _read(path: Path) -> tuple[ScriptedReply, ...]:
    try:
        plain = yaml.safe_load(read_regular(path, MAX_FILE_BYTES).decode())
    except OSError as error:
        raise StartupError(f"{path}: cannot read the script: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        advice = "check the indentation, the colons and the quotes, and save it as UTF-8"
        raise StartupError(f"{where}: not valid YAML; {advice}.") from None
    if not isinstance(plain, dict) or set(plain) != {"replies"} or not plain["replies"]:
        raise StartupError(f"{path}: a script must be a list of replies under the single key `replies`.")
    try:
        return ScriptedSettings.model_validate(plain).replies
    except ValidationError as error:
        lines = section_errors("", plain, error).splitlines()
        raise StartupError("\n".join(f"{path}: {line}" for line in lines)) from None
