"""The table of vendors: how a backend's endpoint, or its configuration, finds its row."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.formats.vendor_profile import VENDOR_PROFILES, VendorProfile, vendor_profile
from clawdbot_model_gateway.provider_registry import installed_providers, make_provider
from clawdbot_model_gateway.settings import BackendSettings
from clawdbot_servicekit.errors import StartupError


@pytest.mark.parametrize("vendor", VENDOR_PROFILES)
def test_each_of_a_vendors_hosts_finds_its_profile(vendor):
    profile = VENDOR_PROFILES[vendor]
    for host in profile.hosts:
        assert vendor_profile(f"https://{host}/v1") is profile
        assert vendor_profile(f"https://eu.{host}:8443/v1") is profile


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8000/v1", "https://notapi.openai.com.example.org"])
def test_another_host_is_a_server_that_nothing_is_known_about(endpoint):
    assert vendor_profile(endpoint) == VendorProfile()


def test_a_host_belongs_to_one_vendor():
    hosts = [host for profile in VENDOR_PROFILES.values() for host in profile.hosts]
    assert len(hosts) == len(set(hosts))


def test_the_configuration_names_the_vendor_behind_a_proxy():
    assert vendor_profile("http://proxy.example.org/v1", "openai") is VENDOR_PROFILES["openai"]


def test_an_unknown_vendor_is_a_startup_error_that_suggests_one():
    settings = BackendSettings(provider="openai_compatible", endpoint="http://127.0.0.1:1/v1", vendor="opnai")
    with pytest.raises(StartupError, match=r"vendor: not a known vendor; did you mean openai\?"):
        make_provider("model", settings, installed_providers())
