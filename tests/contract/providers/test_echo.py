"""The provider without a model."""

from __future__ import annotations

import pytest

from tests.contract.providers.provider_contract import ProviderContract
from tests.support.providers import make, started


class TestEcho(ProviderContract):
    kind = "echo"

    @pytest.fixture
    def unstarted(self):
        return make(provider="echo")

    @pytest.fixture
    async def provider(self, unstarted):
        async for each in started(unstarted):
            yield each

    @pytest.fixture
    def model(self):
        return "echo"
