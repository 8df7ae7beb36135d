"""The model gateway's settings, read once: a module for each section of the configuration."""

from clawdbot_model_gateway.settings.backends import BackendSettings, HttpSettings
from clawdbot_model_gateway.settings.gateway import GatewaySettings

__all__ = ["BackendSettings", "GatewaySettings", "HttpSettings"]
