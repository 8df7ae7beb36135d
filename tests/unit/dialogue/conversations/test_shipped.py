"""The conversations of the flows that ship, held as they are written, and what they cover."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.flow_registry import shipped_flows
from clawdbot_dialogue.flow_testing.runner import run_conversations, shipped_conversations

from tests.support.flows import library

LIBRARY = library()
FILES = dict(shipped_conversations())
OUTCOMES = {file: run_conversations(source, file, LIBRARY.get) for file, source in FILES.items()}


def named(file: str, locale: str) -> str:
    """The conversation file of a flow in a language."""
    return file if locale == "en" else file.replace(".yaml", f".{locale}.yaml")


def test_every_shipped_flow_has_conversations_in_each_language():
    assert set(FILES) == {named(file, locale) for file, _ in shipped_flows() for locale in ("en", "zh")}


@pytest.mark.parametrize(
    "outcome",
    [outcome for outcomes in OUTCOMES.values() for outcome in outcomes],
    ids=lambda outcome: f"{outcome.file}: {outcome.name}",
)
def test_a_shipped_conversation_goes_as_it_is_written(outcome):
    assert not outcome.failures, outcome.render()


@pytest.mark.parametrize("locale", ["en", "zh"])
@pytest.mark.parametrize("flow", LIBRARY.list(), ids=lambda flow: flow.name)
def test_the_conversations_of_each_language_enter_every_state(flow, locale):
    outcomes = OUTCOMES[named(flow.file, locale)]
    entered = {state for outcome in outcomes for name, state in outcome.entered if name == flow.name}
    assert entered == set(flow.states)
