"""The conversation files of the shipped flows pass, and cover every state."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.flow_registry import shipped_flows
from clawdbot_dialogue.flow_testing.runner import run_conversations, shipped_conversations

from tests.support.flows import library

LIBRARY = library()
FILES = dict(shipped_conversations())
RESULTS = {file: run_conversations(source, file, LIBRARY.get) for file, source in FILES.items()}


def conversation_file(file: str, locale: str) -> str:
    """The conversation file of a flow in a language."""
    return file if locale == "en" else file.replace(".yaml", f".{locale}.yaml")


def test_every_shipped_flow_has_conversations_in_each_language():
    assert set(FILES) == {
        conversation_file(file, locale) for file, _ in shipped_flows() for locale in ("en", "zh")
    }


@pytest.mark.parametrize(
    "result",
    [result for results in RESULTS.values() for result in results],
    ids=lambda result: f"{result.file}: {result.name}",
)
def test_a_shipped_conversation_passes(result):
    assert not result.failures, result.render()


@pytest.mark.parametrize("locale", ["en", "zh"])
@pytest.mark.parametrize("flow", LIBRARY.list(), ids=lambda flow: flow.name)
def test_the_conversations_of_each_language_enter_every_state(flow, locale):
    results = RESULTS[conversation_file(flow.file, locale)]
    entered = {state for result in results for name, state in result.entered if name == flow.name}
    assert entered == set(flow.states)
