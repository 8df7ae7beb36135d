"""Draws a flow, in the language that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from clawdbot_dialogue.core.flow.diagrams import dot, mermaid
from clawdbot_dialogue.core.flow.diagrams.diagram import Picture, picture
from clawdbot_dialogue.core.flow.model import Flow

Form = Literal["mermaid", "dot"]
WRITERS: Final[Mapping[Form, Callable[[Picture], str]]] = {"mermaid": mermaid.write, "dot": dot.write}


def draw(flow: Flow, form: Form, highlight: frozenset[str] = frozenset()) -> str:
    """A flow as a diagram's text.

    Args:
        flow: the flow.
        form: the language: of Mermaid, or of Graphviz.
        highlight: paths of states that stand out; those that are not there are no matter.
    """
    return WRITERS[form](picture(flow, highlight))
