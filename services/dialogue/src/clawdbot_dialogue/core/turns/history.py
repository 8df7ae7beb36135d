"""The end of a session's transcript, as models are shown it.

It is kept encoded, as part of a request to a model: most requests take it over whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest

from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.context_window import fit_to_budget, has_media, without_refused_media
from clawdbot_dialogue.core.turns.ports import TurnLimits


class _Transcript(NamedTuple):
    """What one turn added to the transcript."""

    messages: int
    encoded: bytes
    """A request with these messages and nothing else."""
    has_media: bool


class History:
    """The transcripts of a session's last turns: whole turns, up to `limits.history` messages."""

    def __init__(
        self, session_id: str, limits: TurnLimits, turns: Iterable[Sequence[Message]] | None = None
    ) -> None:
        """A session's history before a turn.

        Args:
            session_id: The session.
            limits: How much of a transcript models are shown.
            turns: The transcripts of the last turns; None if they are still to be read from the store.
        """
        self._session_id = session_id
        self._limits = limits
        self._turns = deque[_Transcript]()
        self._is_known = turns is not None
        self._messages = 0
        self.size = 0
        """Bytes that are kept."""
        for messages in turns or ():
            self.add(messages)

    async def read(self, store: SessionStore) -> None:
        """Reads the history from the store, unless it is known."""
        if not self._is_known:
            turns = await store.recent_transcripts(self._session_id, self._limits.history)
            self._is_known = True
            for messages in turns:
                self.add(messages)

    def add(self, messages: Sequence[Message]) -> None:
        """Adds the transcript of a turn that ended, if the history before it is known."""
        if not self._is_known or not messages:
            return
        encoded = GenerateRequest(messages=messages).SerializeToString()
        self._turns.append(_Transcript(len(messages), encoded, any(map(has_media, messages))))
        self._messages += len(messages)
        self.size += len(encoded)
        while self._messages > self._limits.history and len(self._turns) > 1:
            oldest = self._turns.popleft()
            self._messages -= oldest.messages
            self.size -= len(oldest.encoded)

    def append_to(self, request: GenerateRequest) -> None:
        """Appends the messages to a request, without media that the policy refuses, and cut to the budget."""
        encoded = b"".join([turn.encoded for turn in self._turns])
        if len(encoded) <= self._limits.history_bytes and not any(turn.has_media for turn in self._turns):
            request.MergeFromString(encoded)
            return
        messages = GenerateRequest.FromString(encoded).messages
        allowed = without_refused_media(messages, self._limits.media)
        request.messages.extend(fit_to_budget(allowed, self._limits.history_bytes))
