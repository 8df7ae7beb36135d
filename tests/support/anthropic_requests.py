"""Encodes our requests as they go to Anthropic."""

from __future__ import annotations

import json

from clawdbot_model_gateway.formats.anthropic.models import ModelProfile
from clawdbot_model_gateway.formats.anthropic.request import RequestDefaults, RequestEncoder

DEFAULT_PROFILE = ModelProfile()
"""What is assumed of a model that no list has described."""


def encode(request, profile=DEFAULT_PROFILE, *, unsupported=frozenset(), **defaults):
    """The body, and the fields that it warns about."""
    encoder = RequestEncoder("anthropic", RequestDefaults(**defaults), unsupported)
    encoded = encoder.encode(request, "claude", profile)
    return json.loads(encoded.body), [each.field for each in encoded.warnings]


def body(request, profile=DEFAULT_PROFILE, **defaults):
    wire, warnings = encode(request, profile, **defaults)
    assert warnings == []
    return wire
