"""What decoders of all vendors' replies share: the first event, and how far the reply has come."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NoReturn

import structlog
from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_STOP, FINISH_REASON_TRUNCATED, FinishReason
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_PARTIAL, USAGE_PROVENANCE_REPORTED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import ModelError, ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.spending import note_usage
from clawdbot_model_gateway.formats.finish_reasons import LASTING_REASONS, error_of, meaning, reason_in
from clawdbot_model_gateway.formats.reply_text import ReplyText
from clawdbot_model_gateway.formats.text_joiner import well_formed
from clawdbot_model_gateway.formats.think_tags import ThinkTagModes
from clawdbot_model_gateway.formats.usage import find_usage, may_count
from clawdbot_model_gateway.formats.vendor_json import load_exactly, load_json
from clawdbot_model_gateway.http import ErrorMapper
from clawdbot_model_gateway.http.charsets import in_utf8
from clawdbot_model_gateway.http.error_payloads import reports_error

log = structlog.get_logger(__name__)

ERROR_EVENTS: Final = frozenset({b"error", b"exception", b"response.error"})
"""Names of events that are errors, in lower case."""
_ERROR: Final = re.compile(r"\A\W{0,3}(\w+ ){0,4}(error|exception|failed|failure)\b", re.IGNORECASE)
"""What a record begins with that is no JSON but says that something failed."""

COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_tokens",
)
"""Fields of a Usage that count tokens."""


class ReplyDecoder(ABC):
    """Decodes one reply into events: the records of a stream, or a response that came at once.

    Whatever a response makes it raise goes through `fail`.
    """

    end_marker: ClassVar[bytes] = b""
    """A record that ends a stream and is not JSON; empty where the vendor has none."""
    end_is_optional: ClassVar[bool] = False
    """Whether a reply with its finish reason is complete: usage and the end of the stream may be missing."""
    exact_marker: ClassVar[bytes] = b""
    """What records contain whose numbers have to be exact, since arguments are objects in them; empty where
    arguments come as text."""

    def __init__(
        self,
        model: str,
        warnings: Sequence[Warning],
        errors: ErrorMapper,
        think_tags: ThinkTagModes | None = None,
    ) -> None:
        """A decoder.

        Args:
            model: what was asked for, reported if the reply names no model.
            warnings: for the first event.
            errors: maps the backend's errors.
            think_tags: where the text of the backend's models contains reasoning; None: nowhere.
        """
        self.charset = ""
        """Of the response, if it is not UTF-8."""
        self._model = model
        self._warnings = warnings
        self._errors = errors
        self._started_sent = False
        self.has_content = False
        """Whether any content has arrived. What is empty is none."""
        self.finish_reason = ""
        """The vendor's finish reason, once it has arrived."""
        self.at_end = False
        """Whether the finish reason came last, after all content: some vendors send one with every piece."""
        self._reasons_at_end_only = False
        self.ended = False
        """Whether the vendor's last record has arrived."""
        self._think_tags = think_tags or ThinkTagModes("never")
        self._text = ReplyText(self._think_tags.of(model))
        self._guesses = self._think_tags.is_guess(model)
        self._usage: Usage | None = None
        self._may_count = self._may_fail = True
        """Whether there may be counts, or an error, in the record that was loaded last."""

    @property
    def begun(self) -> bool:
        """Whether any part of the reply has arrived."""
        return self.has_content or bool(self.finish_reason)

    def load(self, data: bytes) -> Any:
        """The JSON of a record, or of a whole response. ValueError if it is none."""
        if self.charset:
            data = in_utf8(data, self.charset)
        self._may_count, self._may_fail = may_count(data), b'"error' in data
        if self.exact_marker and self.exact_marker in data:
            return load_exactly(data)
        return load_json(data)

    def fail(self, error: Exception) -> NoReturn:
        """Raises what a response has made this decoder raise, as a ModelError.

        For an error that nobody foresaw that is ProtocolViolation, so that another backend is asked; the log
        has the cause.
        """
        if isinstance(error, ModelError):
            error.worked_on = error.worked_on or self._worked_on
            raise error
        log.error("decoder_failed", decoder=type(self).__module__, exc_info=error)
        broken = ProtocolViolation(f"the response cannot be decoded ({type(error).__name__})")
        broken.worked_on = self._worked_on
        raise broken from error

    @abstractmethod
    def decode(self, record: Any, name: bytes, out: list[Event], /) -> None:
        """Adds the events of one record.

        Args:
            record: its JSON.
            name: of the server-sent event that contained it; empty without one.
            out: the events are added here.

        Raises:
            ModelError: it is an error, or not a JSON object.
        """

    @abstractmethod
    def finish(self, out: list[Event]) -> None:
        """Adds the last events. Without the vendor's finish reason the reply is TRUNCATED."""

    def decode_whole(self, response: Any) -> list[Event]:
        """The events of a response that came at once: also a list of all its records.

        Raises:
            ModelError: it is an error, or not a response.
        """
        out: list[Event] = []
        for record in response if isinstance(response, list) and response else [response]:
            self.decode(record, b"", out)
        if not self.begun:
            raise self._errors.from_no_reply(response)
        self.finish(out)
        return out

    @property
    def _worked_on(self) -> bool:
        """Whether the backend has worked on the request: there is content, or tokens are counted."""
        usage = self._usage
        return self.begun or (usage is not None and bool(usage.input_tokens or usage.output_tokens))

    def no_reply(self, record: Any) -> ModelError:
        """The error of a stream without a reply: what its last record says, if that is an error."""
        return self._errors.from_no_reply(record, "the stream ended before the reply began")

    def unreadable(self, data: bytes, name: bytes) -> ModelError:
        """The error of a record that is not JSON."""
        text = data.decode("utf-8", "replace")
        if name.lower() in ERROR_EVENTS or _ERROR.search(text):
            return self._errors.from_payload({"error": text})
        return self._errors.from_unparsable(data, {})

    def _is_error(self, record: Mapping[str, Any], name: bytes) -> bool:
        """Whether a record is an error in place of a part of the reply, as it or its event's name says."""
        if name and name.lower() in ERROR_EVENTS:
            return True
        if not self._may_fail:
            return False
        return "error" in (record.get("type"), record.get("object")) or reports_error(record)

    def _start(self, model: Any, out: list[Event]) -> None:
        """Adds the first event, once. `model` is what the reply calls the model, if it does."""
        if not self._started_sent:
            self._started_sent = True
            name = model if isinstance(model, str) and model else self._model
            out.append(events.started(well_formed(name), self._warnings))

    def _take_reason(self, said: Any, *, with_content: bool) -> None:
        """Notes the vendor's finish reason, if there is one in this record.

        Args:
            said: the reason, if it is one.
            with_content: whether the same record has content: then more may follow.

        Raises:
            ModelError: the reason is an error.
        """
        raw = reason_in(said) if said else ""
        if with_content:
            # A vendor that goes on after a finish reason sends one with every piece.
            if not self.has_content:
                self._reasons_at_end_only = not raw and not self.finish_reason
            elif self.finish_reason:
                self._reasons_at_end_only = False
            self.has_content = True
            self.at_end = False
        if not raw:
            return
        kind = error_of(raw, has_content=self.has_content)
        if kind is not None:
            raise kind(f"the reply ended with the finish reason {self._errors.sanitize(raw)}")
        bare_stop = bool(self.finish_reason) and not with_content and meaning(raw) == FINISH_REASON_STOP
        if not (bare_stop and meaning(self.finish_reason) in LASTING_REASONS):
            self.finish_reason = raw
        self.at_end = self.has_content and self._reasons_at_end_only

    def _end_text(self, reason: FinishReason.ValueType, out: list[Event]) -> None:
        """Adds the last events of text and reasoning, and remembers where the model writes the latter."""
        self._text.end(out, answered=self._guesses or reason == FINISH_REASON_STOP)
        if self._think_tags.is_auto:
            self._think_tags.learn(self._model, self._text.found)

    def _take_usage(self, record: Mapping[str, Any]) -> None:
        """Takes what a record reports as totals so far. The largest count: some vendors end with zeros."""
        for counts in find_usage(record):
            if self._usage is None:
                self._usage = Usage()
                # Nobody sees it before the end, which a reply that is cancelled does not have.
                note_usage(self._usage)
            for name in COUNTS:
                if (count := getattr(counts, name)) > getattr(self._usage, name):
                    setattr(self._usage, name, count)

    def _end_reply(
        self,
        reason: FinishReason.ValueType,
        out: list[Event],
        *,
        raw: str | None = None,
    ) -> None:
        """Adds the last events: the usage, if any was reported, and the end.

        Args:
            reason: why it ended.
            out: the events are added here.
            raw: the vendor's word for the reason, if it is not the finish reason itself.
        """
        usage = self._usage
        if usage is not None and (usage.input_tokens or usage.output_tokens):
            unusable = not usage.input_tokens or (self.has_content and not usage.output_tokens)
            partial = unusable or reason == FINISH_REASON_TRUNCATED
            usage.provenance = USAGE_PROVENANCE_PARTIAL if partial else USAGE_PROVENANCE_REPORTED
            out.append(events.usage(usage))
        out.append(events.finished(reason, self.finish_reason if raw is None else raw))
