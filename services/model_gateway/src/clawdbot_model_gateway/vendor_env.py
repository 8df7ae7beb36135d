"""Vendors whose usual variables are known, and what these say of a backend that says nothing itself."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from clawdbot_servicekit.settings import Secret

from clawdbot_model_gateway.settings import GatewaySettings, VendorVariables


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor."""

    name: str
    """In the section `gateway`; also its backend's name where nothing is configured."""
    provider: str
    """Whose backend is made of the key alone."""
    providers: tuple[str, ...]
    """Those that reach this vendor where they have no endpoint of their own."""
    version: str = ""
    """What the vendor's base URL leaves to its own library, and an endpoint does not."""

    def variable(self, key: str) -> str:
        """The variable that sets a key of the vendor's section."""
        return GatewaySettings.borrowed[f"gateway.{self.name}.{key}"]


VENDORS: Final = (
    Vendor("openai", "openai_compatible", ("openai_compatible", "openai")),
    Vendor("anthropic", "anthropic", ("anthropic",), version="v1"),
    Vendor("gemini", "gemini", ("gemini",), version="v1beta"),
)
"""In the order in which their keys are looked for."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is said of a vendor."""

    vendor: Vendor
    endpoint: str | None
    """None: the vendor's own."""
    key: Secret | None
    variable: str
    """The one that the key is usually in: where it was found, or where it may be put."""
    model: str | None


def known_of(provider: str, settings: GatewaySettings) -> Known | None:
    """What is said of the vendor that a provider reaches; None for a provider without one."""
    vendor = next((each for each in VENDORS if provider in each.providers), None)
    return None if vendor is None else _known(vendor, settings)


def first_known(settings: GatewaySettings, available: Container[str]) -> Known | None:
    """The first vendor that there is a key of, and a provider for."""
    usable = (_known(each, settings) for each in VENDORS if each.provider in available)
    return next((each for each in usable if each.key is not None), None)


def key_variables(available: Container[str]) -> list[str]:
    """The variables that would name a vendor here."""
    return [each.variable("api_key") for each in VENDORS if each.provider in available]


def _known(vendor: Vendor, settings: GatewaySettings) -> Known:
    said: VendorVariables = getattr(settings.gateway, vendor.name)
    place, key = next(
        ((place, key) for place in said.key_places if (key := getattr(said, place)) is not None),
        ("api_key", None),
    )
    return Known(vendor, _endpoint(vendor, said.base_url), key, vendor.variable(place), said.model)


def _endpoint(vendor: Vendor, base_url: str | None) -> str | None:
    if base_url is None or not vendor.version:
        return base_url
    base = base_url.rstrip("/")
    return base if base.endswith(f"/{vendor.version}") else f"{base}/{vendor.version}"
