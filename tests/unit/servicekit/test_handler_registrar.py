"""The facade of a server that applications register their servicers at."""

import grpc.aio
import pytest
from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.pipeline import HandlerRegistrar


async def test_an_application_can_register_handlers_and_nothing_more():
    registrar = HandlerRegistrar(None, (), ErrorTable({}))
    for refused in (
        lambda: registrar.add_insecure_port(":0"),
        lambda: registrar.add_secure_port(":0", None),
    ):
        with pytest.raises(grpc.aio.UsageError):
            refused()
    for refused in (registrar.start(), registrar.stop(None), registrar.wait_for_termination()):
        with pytest.raises(grpc.aio.UsageError):
            await refused
