"""What the kit promises holds on both engines."""

import pytest

from tests.support.engines import ENGINES, VARIABLE


@pytest.fixture(autouse=True, params=ENGINES)
def engine(request, monkeypatch):
    """The engine of all servers that a test makes."""
    monkeypatch.setenv(VARIABLE, request.param)
    return request.param
