"""The forms of short texts in flow files, and what to tell people who write another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field

NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
STATE_NAME = r"^\w[\w-]{0,63}$"
STATE_PATH = r"^\w[\w.-]*$"
FLOW_NAME = r"^[a-z][a-z0-9_-]{0,63}$"
DURATION = r"^\d{1,6}(\.\d{1,3})?(s|m|h|d)$"
WITHOUT_SPACES = r"^\S+$"
CURRENCY = r"^[A-Z]{3}$"
REGION = r"^[A-Z]{2}$"
TOOL_NAME = r"^\S{1,200}$"
FORMS: Final[Mapping[str, str]] = {
    NAME: ("Use at most 64 letters, digits and underscores, beginning with a letter: party_size."),
    STATE_NAME: "Use at most 64 letters, digits, underscores and hyphens: ask_time.",
    STATE_PATH: "Write the name of a state; inside another state, with a dot: order.pay.",
    FLOW_NAME: (
        "Use at most 64 lower-case letters, digits, hyphens and underscores, a letter first: book_table."
    ),
    DURATION: "Write 30s, 10m, 2h or 1d.",
    WITHOUT_SPACES: "Leave out the spaces: order.paid.",
    CURRENCY: "Write the three capital letters of ISO 4217: GBP.",
    REGION: "Write the two capital letters of ISO 3166: GB.",
    TOOL_NAME: "Write the full name of a tool, without spaces: tables.reserve.",
}
"""Pattern of a text → what to write."""

Name = Annotated[str, Field(pattern=NAME)]
StateName = Annotated[str, Field(pattern=STATE_NAME)]
StatePath = Annotated[str, Field(pattern=STATE_PATH, max_length=1000)]
"""A state as seen from where it is named: a sibling, else one level up, and so on; dots lead down."""
FlowName = Annotated[str, Field(pattern=FLOW_NAME)]
Duration = Annotated[
    str,
    Field(
        pattern=DURATION,
        description="A duration: 30s, 10m, 2h, 1d.",
        examples=["10m"],
    ),
]
EventName = Annotated[str, Field(min_length=1, max_length=200, pattern=WITHOUT_SPACES)]
Currency = Annotated[str, Field(pattern=CURRENCY)]
Region = Annotated[str, Field(pattern=REGION)]
ToolName = Annotated[str, Field(pattern=TOOL_NAME)]
