"""The dialogue's façade for the command exports what it lists, and imports nothing before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest
from clawdbot_dialogue import flow_toolkit

LIST_MODULES = "import sys; print(*(name for name in sys.modules if name.startswith('clawdbot_dialogue')))"


def modules_after(statement: str) -> set[bytes]:
    """The modules of the dialogue that a new interpreter has imported after the statement."""
    code = f"{statement}; {LIST_MODULES}"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.split())


def test_every_name_is_exported_from_the_module_that_is_listed_for_it():
    """Its strings must follow when a symbol is renamed or moved."""
    listed = [name for names in flow_toolkit._EXPORTS.values() for name in names]
    assert sorted(listed) == sorted(flow_toolkit.__all__)
    for name in flow_toolkit.__all__:
        assert getattr(flow_toolkit, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        flow_toolkit.nonesuch  # noqa: B018


def test_the_import_alone_loads_no_flow_code():
    assert modules_after("import clawdbot_dialogue.flow_toolkit") == {
        b"clawdbot_dialogue",
        b"clawdbot_dialogue.flow_toolkit",
    }


def test_a_name_loads_only_what_it_needs():
    loaded = modules_after("from clawdbot_dialogue.flow_toolkit import examine, check_conversations")
    assert b"clawdbot_dialogue.core.flow.loader" in loaded
    assert not loaded & {b"clawdbot_dialogue.clients.graphviz", b"clawdbot_dialogue.flow_testing.runner"}
