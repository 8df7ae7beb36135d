"""A busy server can start programs: gRPC's fork handlers, which crash in some of them, are off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engines import GRPCIO_ONLY
from tests.support.forking_process import PROGRAMS

pytestmark = GRPCIO_ONLY
ROOT = Path(__file__).parents[3]


def output_of(*arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=100).stdout


def test_no_program_crashes_before_it_runs():
    assert output_of("-m", "tests.support.forking_process") == repr({0: PROGRAMS})


@pytest.mark.parametrize(
    "module",
    [
        "clawdbot_cli.main",
        "clawdbot_cli.up",
        "clawdbot_dialogue.__main__",
        "clawdbot_model_gateway.__main__",
        "clawdbot_plugins.__main__",
    ],
)
def test_a_program_of_ours_imports_grpc_after_the_handlers_are_off(module):
    assert output_of("-c", f"import sys, {module}; print('grpc' in sys.modules)") == "False\n"
