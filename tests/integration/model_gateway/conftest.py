"""Two vendors' servers, for tests in which one backend stands in for another."""

import pytest

from tests.support.fake_openai import fake_openai


@pytest.fixture
async def a():
    async with fake_openai() as fake:
        yield fake


@pytest.fixture
async def b():
    async with fake_openai() as fake:
        yield fake
