"""Asks a peer whether it is ready: the check of a dependency on another service."""

from __future__ import annotations

from typing import Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from clawdbot_servicekit.application import Dependency
from clawdbot_servicekit.errors import NotReady

ATTEMPTS: Final = 2
"""Where a name has several addresses, one of them that drains must not make every caller unready: calls go to
the addresses in turn, so the second one reaches another."""
ATTEMPT_TIMEOUT: Final = 0.9
"""Seconds."""
MEANINGS: Final = {
    grpc.StatusCode.UNAVAILABLE: "it cannot be reached",
    grpc.StatusCode.DEADLINE_EXCEEDED: f"it did not answer within {ATTEMPT_TIMEOUT:g} s",
    grpc.StatusCode.NOT_FOUND: "another service answers at its address",
}


class PeerHealth:
    """The health of one service of a peer."""

    def __init__(self, channel: grpc.aio.Channel, peer: str, service: str) -> None:
        """A check that has not run yet.

        Args:
            channel: to the peer.
            peer: "dialogue", "model_gateway" or "plugins".
            service: full name of the gRPC service that must be SERVING.
        """
        self._stub = health_pb2_grpc.HealthStub(channel)
        self._peer = peer
        self._request = health_pb2.HealthCheckRequest(service=service)

    def dependency(self) -> Dependency:
        """The required dependency on the peer."""
        return Dependency(self._peer, self.check)

    async def check(self) -> None:
        """Returns if the peer says that it is ready. A peer without a health service only has to answer.

        Raises:
            NotReady: it does not say so in ATTEMPTS attempts.
        """
        explanation = ""
        for _ in range(ATTEMPTS):
            try:
                answer = await self._stub.Check(self._request, timeout=ATTEMPT_TIMEOUT)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    return
                explanation = MEANINGS.get(error.code(), f"it answered {error.code().name}")
            else:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
                explanation = "it says that it is not ready"
        raise NotReady(self._peer, explanation)


def absent_peer(peer: str, consequence: str) -> Dependency:
    """The dependency on a peer that this installation does not have.

    Args:
        peer: key of `peers`.
        consequence: what then fails, for the operator.
    """
    absence = f"peers.{peer} is not set: {consequence}"

    async def check() -> None:
        raise NotReady(peer, absence)

    return Dependency(peer, check, absence)
