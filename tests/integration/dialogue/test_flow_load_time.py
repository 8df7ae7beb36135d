"""How long a new process takes to load the shipped flows."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

PROGRAM = """
import json, sys, time
before = time.process_time()
from clawdbot_dialogue.core.flow.flow_registry import shipped_flows
from clawdbot_dialogue.core.flow.loader import load_flow
from clawdbot_dialogue.core.machine import step
for file, source in shipped_flows():
    load_flow(source, file)
slow = {"phonenumbers", "email_validator", "dns", "jsonschema"} & sys.modules.keys()
print(json.dumps({"seconds": time.process_time() - before, "slow": sorted(slow)}))
"""


def test_the_shipped_flows_load_fast_and_without_slow_libraries():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120
    )
    measured = json.loads(done.stdout)
    assert measured["slow"] == []
    # Of the processor; 0.3 on an idle machine. More means a loop or a library that costs many times as much.
    assert measured["seconds"] < 20
