"""What a servicer is handed for a call from inside the process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from clawdbot_servicekit.caller import Caller
from clawdbot_servicekit.inprocess.metadata import Metadata, metadata_of
from clawdbot_servicekit.inprocess.rpc import Rpc, Status
from clawdbot_servicekit.pipeline.types import TrustedContext

PEER: Final = "inprocess"
"""What `peer` answers."""
BY_NUMBER: Final = {each.value[0]: each for each in grpc.StatusCode}

Decode = Callable[[bytes], Any] | None
Encode = Callable[[Any], bytes] | None


class InProcessContext(TrustedContext, grpc.aio.ServicerContext[Any, Any]):
    """The context of one call, as grpc.aio's."""

    def __init__(self, exchange: Rpc, caller: Caller, decode: Decode, encode: Encode) -> None:
        self.caller = caller
        self._exchange = exchange
        self._decode = decode
        self._encode = encode
        self._code: Any = None
        self._details = ""
        self._trailing: Metadata = ()
        self._aborted: grpc.aio.AbortError | None = None
        self._callbacks: list[Callable[[Any], object]] = []

    async def read(self) -> Any:
        """The next request; grpc.aio.EOF after the last one."""
        self.check()
        message = await self._exchange.requests.pop()
        self.check()
        return grpc.aio.EOF if message is None else self.decoded(message)

    async def write(self, message: Any) -> None:
        """Sends a reply; waits while the caller does not keep up."""
        self.check()
        await self._exchange.reply(self.encoded(message))

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Sends them now; without it, none go out with the first reply."""
        self.check()
        if self._exchange.initial is not None and self._exchange.status is None:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        self._exchange.open(metadata_of(initial_metadata))

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """Ends the call with this status, and the servicer with AbortError."""
        if self._aborted is not None:
            raise grpc.aio.UsageError("Abort already called!")
        self._aborted = grpc.aio.AbortError("Locally aborted.")
        self._code = code
        self._details = details or self._details
        if trailing_metadata:
            self._trailing = metadata_of(trailing_metadata)
        self._exchange.answer(self.status())
        raise self._aborted

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """As abort."""
        await self.abort(status.code, status.details, status.trailing_metadata)

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """What is sent with the status."""
        self._trailing = metadata_of(trailing_metadata)

    def trailing_metadata(self) -> Any:
        """What was set."""
        return self._trailing

    def invocation_metadata(self) -> Any:
        """What the caller has sent."""
        return self._exchange.metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status when the servicer returns."""
        self._code = code

    def code(self) -> Any:
        """What was set; None where nothing was."""
        return self._code

    def set_details(self, details: str) -> None:
        """The sentence beside the code."""
        self._details = details

    def details(self) -> str:
        """What was set."""
        return self._details

    def set_compression(self, compression: grpc.Compression) -> None:
        """Nothing: there is no wire."""

    def disable_next_message_compression(self) -> None:
        """Nothing: there is no wire."""

    def peer(self) -> str:
        """Always the same: this process."""
        return PEER

    def peer_identities(self) -> Iterable[bytes] | None:
        """None: nobody has to show a certificate."""
        return None

    def peer_identity_key(self) -> str | None:
        """None: nobody has to show a certificate."""
        return None

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Empty: nobody has to show a certificate."""
        return {}

    def time_remaining(self) -> Any:
        """Seconds to the caller's deadline; None where it gave none."""
        return self._exchange.remaining()

    def add_done_callback(self, callback: Any) -> None:
        """Has something called with this context when the servicer has ended."""
        self._callbacks.append(callback)

    def cancelled(self) -> bool:
        """Whether the servicer has set CANCELLED; a caller that leaves cancels the servicer's task."""
        return self._code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        """Whether the status was sent."""
        return self._exchange.answered

    # For serving

    def decoded(self, message: bytes) -> Any:
        """A request as the servicer takes it."""
        return message if self._decode is None else self._decode(message)

    def encoded(self, message: Any) -> bytes:
        """A reply as it travels."""
        data: bytes = message if self._encode is None else self._encode(message)
        return data

    def check(self) -> None:
        """Raises unless the servicer may go on: it may have caught AbortError."""
        if self._aborted is not None:
            raise self._aborted
        if self._exchange.answered:
            raise grpc.aio.UsageError("RPC already finished.")

    def status(self, default: grpc.StatusCode = grpc.StatusCode.OK) -> Status:
        """What the servicer has set, `default` where that is no code."""
        code = default if self._code is None else BY_NUMBER.get(self._code, self._code)
        return Status(code, self._details, self._trailing)

    def call_back(self) -> None:
        """Calls what was registered."""
        for each in self._callbacks:
            each(self)
