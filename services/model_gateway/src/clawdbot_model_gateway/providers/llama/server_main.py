"""The process that loads a model: `python -m …llama.server_main`, started only by server_process.py.

It reads one line of JSON, loads the model, writes one line of JSON, and serves Chat Completions on a Unix
socket until its input ends, which happens when the gateway stops or dies.
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

PROMPT_CACHE_MIB: Final = 256
"""For prompts, in addition to the slots' own memory; llama.cpp's default of 8192 is too much for a laptop."""
LOADED: Final = "loaded"
"""File beside the socket, once the model is loaded."""
LOG_ERRORS: Final = 1
"""llama.cpp's verbosity that reports why a model does not load, and nothing else."""


def main() -> None:
    """Serves, or stays with the reason why it does not, until the input ends."""
    spec: dict[str, Any] = json.loads(sys.stdin.readline())
    problem = _checksum_problem(spec)
    server = None
    if not problem:
        try:
            server = _load(spec)
        except RuntimeError:
            # Its message is always the same; the error output contains the reason.
            problem = "failed"
    if server is not None:
        # For those that did not start it: it listens already while it loads.
        Path(spec["socket"]).with_name(LOADED).touch()
    sys.stdout.write(json.dumps({"problem": problem}) + "\n")
    sys.stdout.flush()
    # Also where it failed: the reason is written by a thread of llama.cpp, which may take its time.
    sys.stdin.read()
    # There is nothing to save: the system frees a model's gigabytes faster than its destructors.
    shutil.rmtree(Path(spec["socket"]).parent, ignore_errors=True)
    os._exit(0)


def _checksum_problem(spec: Mapping[str, Any]) -> str:
    """How the file differs from its checksum; empty if it does not, or if none is configured."""
    if not spec["sha256"]:
        return ""
    with Path(spec["path"]).open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    return "" if actual == spec["sha256"] else f"its sha256 is {actual}, which is not the configured one"


def _load(spec: Mapping[str, Any]) -> Any:
    # Imported here: 100 MB that a wrong checksum does not need. The extra has no types.
    xllamacpp = importlib.import_module("xllamacpp")
    os.umask(0o177)  # its socket is for this user alone
    params = xllamacpp.CommonParams()
    params.model.path = spec["path"]
    params.model_alias = {spec["name"]}
    params.hostnames = [spec["socket"]]
    params.n_threads_http = spec["connections"]
    params.n_parallel = spec["slots"]
    # The slots divide n_ctx: each gets an equal part of it.
    params.n_ctx = spec["context_length"] * spec["slots"]
    params.kv_unified = False
    params.endpoint_slots = True
    params.ui = False
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.verbosity = LOG_ERRORS
    if spec["threads"] is not None:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = spec["threads"]
    if spec["gpu_layers"] is not None:
        params.n_gpu_layers = spec["gpu_layers"]
    if spec["pooling"] is not None:
        params.embedding = True
        params.pooling_type = getattr(
            xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{spec['pooling'].upper()}"
        )
        # A text is embedded in one batch or not at all.
        params.n_batch = params.n_ubatch = spec["context_length"]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
