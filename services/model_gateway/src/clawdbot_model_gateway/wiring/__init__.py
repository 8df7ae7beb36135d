"""Composition root of the model gateway: the only package that knows every class."""

from clawdbot_model_gateway.wiring.service import build

__all__ = ["build"]
