"""The process that holds a model: `python -m …llama.child`, started by process.py and by nobody else.

It reads one line of JSON, loads the model, answers one line of JSON, and serves Chat Completions on a Unix
socket until its input ends, which it does when the gateway stops or dies.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

PROMPT_CACHE: Final = 256
"""MiB of prompts kept besides the slots' own; llama.cpp's default of 8192 is not for a laptop."""
ERRORS: Final = 1
"""llama.cpp's verbosity that says why a model does not load, and nothing else."""


def main() -> None:
    """Serves until the input ends."""
    plan: dict[str, Any] = json.loads(sys.stdin.readline())
    mismatch = _mismatch(plan)
    server = None
    if not mismatch:
        try:
            server = _load(plan)
        except RuntimeError:
            # Its sentence is always the same; the reason stands in the error output.
            mismatch = "failed"
    sys.stdout.write(json.dumps({"problem": mismatch}) + "\n")
    sys.stdout.flush()
    if server is not None:
        sys.stdin.read()
    # Nothing to save: the system frees a model's gigabytes faster than its destructors.
    shutil.rmtree(Path(plan["socket"]).parent, ignore_errors=True)
    os._exit(0)


def _mismatch(plan: Mapping[str, Any]) -> str:
    """How the file differs from its sum; empty where it does not, or no sum is given."""
    if not plan["sha256"]:
        return ""
    with Path(plan["path"]).open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    return "" if actual == plan["sha256"] else f"its sha256 is {actual} and not the one that is configured"


def _load(plan: Mapping[str, Any]) -> Any:
    # Here: 100 MB that a wrong sum does not need. An extra without types.
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = plan["path"]
    params.model_alias = {plan["name"]}
    params.hostnames = [plan["socket"]]
    params.n_threads_http = plan["connections"]
    params.n_parallel = plan["slots"]
    # The slots share what is asked for: each gets its own part of it.
    params.n_ctx = plan["context_length"] * plan["slots"]
    params.kv_unified = False
    params.endpoint_slots = True
    params.ui = False
    params.cache_ram_mib = PROMPT_CACHE
    params.verbosity = ERRORS
    if plan["threads"] is not None:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = plan["threads"]
    if plan["gpu_layers"] is not None:
        params.n_gpu_layers = plan["gpu_layers"]
    if plan["pooling"] is not None:
        params.embedding = True
        params.pooling_type = getattr(
            xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{plan['pooling'].upper()}"
        )
        # A text is embedded in one batch or not at all.
        params.n_batch = params.n_ubatch = plan["context_length"]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
