"""Every registered provider has a module here that runs the contract's tests."""

from __future__ import annotations

import importlib

import pytest
from clawdbot_model_gateway.provider_registry import installed_providers

from tests.contract.providers.provider_contract import ProviderContract


@pytest.mark.parametrize("name", sorted(installed_providers()))
def test_a_registered_provider_runs_the_contract(name):
    module = importlib.import_module(f"tests.contract.providers.test_{name}")
    contracts = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, ProviderContract) and getattr(each, "kind", "") == name
    ]
    assert contracts
