"""What decoders of all vendors' replies share: the first event, and how far the reply has come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.http import ErrorMapper


class ReplyDecoder(ABC):
    """Decodes one reply into events: the records of a stream, or a response that came at once."""

    end_marker: ClassVar[bytes] = b""
    """A record that ends a stream and is not JSON; empty where the vendor has none."""
    end_is_optional: ClassVar[bool] = False
    """Whether a reply with its finish reason is complete: usage and the end of the stream may be missing."""

    def __init__(self, model: str, warnings: Sequence[Warning], errors: ErrorMapper) -> None:
        """Args: model: what was asked for, reported if the reply names no model."""
        self._model = model
        self._warnings = warnings
        self._errors = errors
        self._started_sent = False
        self.has_content = False
        """Whether any content has arrived. What is empty is none."""
        self.finish_reason = ""
        """The vendor's finish reason, once it has arrived."""
        self.ended = False
        """Whether the vendor's last record has arrived."""

    @property
    def begun(self) -> bool:
        """Whether any part of the reply has arrived."""
        return self.has_content or bool(self.finish_reason)

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
        """The events of a response that came at once.

        Raises:
            ModelError: it is an error, or not a response.
        """
        out: list[Event] = []
        self.decode(response, b"", out)
        if not self.begun:
            raise ProtocolViolation("the response contains no reply")
        self.finish(out)
        return out

    def _start(self, model: Any, out: list[Event]) -> None:
        """Adds the first event, once. `model` is what the reply calls the model, if it does."""
        if not self._started_sent:
            self._started_sent = True
            name = model if isinstance(model, str) and model else self._model
            out.append(events.started(name, self._warnings))
