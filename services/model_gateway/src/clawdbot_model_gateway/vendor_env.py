"""The vendors whose environment variables are known, and the defaults that these give to backends."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from clawdbot_servicekit.settings import Secret

from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_model_gateway.settings.gateway import VendorSettings


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor."""

    name: str
    """Its key in the section `gateway`; also the name of its backend where nothing is configured."""
    provider: str
    """The provider of the backend that the vendor's key adds where nothing is configured."""
    providers: tuple[str, ...]
    """The providers that reach this vendor where they have no endpoint of their own."""
    version_path: str = ""
    """Path that the vendor's own library appends to a base URL, and that an endpoint has to contain."""

    def variable(self, key: str) -> str:
        """The environment variable for a key of the vendor's section."""
        return GatewaySettings.fallback_variables[f"gateway.{self.name}.{key}"]


VENDORS: Final = (
    Vendor("openai", "openai_compatible", ("openai_compatible", "openai")),
    Vendor("anthropic", "anthropic", ("anthropic",), version_path="v1"),
    Vendor("gemini", "gemini", ("gemini",), version_path="v1beta"),
)
"""In the order in which their keys are tried."""


@dataclass(frozen=True, slots=True)
class VendorDefaults:
    """What the settings and the environment say about a vendor."""

    vendor: Vendor
    endpoint: str | None
    """None: the vendor's public endpoint."""
    key: Secret | None
    variable: str
    """The variable that the key comes from, or that it can be set with."""
    model: str | None


def vendor_defaults(provider: str, settings: GatewaySettings) -> VendorDefaults | None:
    """The defaults of the vendor that a provider reaches; None for a provider without a vendor."""
    vendor = next((each for each in VENDORS if provider in each.providers), None)
    return None if vendor is None else _defaults(vendor, settings)


def first_vendor_with_key(settings: GatewaySettings, available: Container[str]) -> VendorDefaults | None:
    """The defaults of the first vendor that has a key and an installed provider."""
    usable = (_defaults(each, settings) for each in VENDORS if each.provider in available)
    return next((each for each in usable if each.key is not None), None)


def key_variables(available: Container[str]) -> list[str]:
    """The variables whose key would add a backend."""
    return [each.variable("api_key") for each in VENDORS if each.provider in available]


def _defaults(vendor: Vendor, settings: GatewaySettings) -> VendorDefaults:
    section: VendorSettings = getattr(settings.gateway, vendor.name)
    field, key = next(
        ((field, key) for field in section.key_fields if (key := getattr(section, field)) is not None),
        ("api_key", None),
    )
    endpoint = _endpoint(vendor, section.base_url)
    return VendorDefaults(vendor, endpoint, key, vendor.variable(field), section.model)


def _endpoint(vendor: Vendor, base_url: str | None) -> str | None:
    if base_url is None or not vendor.version_path:
        return base_url
    base = base_url.rstrip("/")
    return base if base.endswith(f"/{vendor.version_path}") else f"{base}/{vendor.version_path}"
