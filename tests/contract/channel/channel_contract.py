"""How a channel and a server behave towards each other; grpc.aio over TCP is the reference.

Each test class inherits this and provides a `connect` fixture: a factory of channels to a servicer, given its
handlers by service and method, and the maximum message size in bytes.
"""

from __future__ import annotations

import pytest

from tests.contract.channel.servicer import Servicer, Stub
from tests.contract.channel.stream_contract import (
    BidirectionalStreams,
    FlowControl,
    RequestStreams,
    ResponseStreams,
)
from tests.contract.channel.termination_contract import Cancellation, Closing, Deadlines
from tests.contract.channel.unary_contract import Limits, Metadata, Statuses, Unary

MAX_MESSAGE = 100_000
"""Bytes."""


class ChannelContract(
    Unary,
    Metadata,
    Statuses,
    Limits,
    ResponseStreams,
    RequestStreams,
    BidirectionalStreams,
    FlowControl,
    Deadlines,
    Cancellation,
    Closing,
):
    """The whole contract."""

    @pytest.fixture
    async def servicer(self):
        return Servicer()

    @pytest.fixture
    async def channel(self, connect, servicer):
        async with connect(servicer.services(), MAX_MESSAGE) as channel:
            yield channel

    @pytest.fixture
    async def stub(self, channel):
        return Stub(channel)
