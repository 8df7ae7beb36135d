"""The dialogue's façade for the command, and what it costs those who do without."""

from __future__ import annotations

import subprocess
import sys

from clawdbot_dialogue import flow_toolkit

LIST_MODULES = "import sys; print(*(name for name in sys.modules if name.startswith('clawdbot_dialogue')))"


def modules_after(statement: str) -> set[bytes]:
    """The modules of the dialogue that a new interpreter has imported after the statement."""
    code = f"{statement}; {LIST_MODULES}"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.split())


def test_the_facade_lists_what_it_exports():
    assert sorted(flow_toolkit.__all__) == sorted(set(flow_toolkit.__all__))
    assert [name for name in flow_toolkit.__all__ if getattr(flow_toolkit, name, None) is None] == []


def test_the_command_line_itself_loads_no_flow_code():
    assert not modules_after("import clawdbot_cli.main") & {
        b"clawdbot_dialogue.flow_toolkit",
        b"clawdbot_dialogue.core.flow.loader",
    }
