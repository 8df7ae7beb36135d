"""Requests of ours as they go to Anthropic."""

from __future__ import annotations

import json

from clawdbot_model_gateway.formats.anthropic.models import ModelFacts
from clawdbot_model_gateway.formats.anthropic.request import RequestWriter, Usual

OF_THE_DAY = ModelFacts()
"""What is taken for granted of a model that nobody has told of."""


def written(request, facts=OF_THE_DAY, **usual):
    """The body, and the fields that it could not honour."""
    encoded = RequestWriter("anthropic", Usual(**usual)).write(request, "claude", facts)
    return json.loads(encoded.body), [each.field for each in encoded.warnings]


def body(request, facts=OF_THE_DAY, **usual):
    wire, warnings = written(request, facts, **usual)
    assert warnings == []
    return wire
