"""Loads the flows that the service starts with: the shipped ones, and those in the configured folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.regular_files import read_regular

from clawdbot_dialogue.core.flow.flow_registry import FlowRegistry, FlowVersionExists, shipped_flows
from clawdbot_dialogue.core.flow.lint.interrupts import check_interrupts
from clawdbot_dialogue.core.flow.loader import check_references, validate_flow

SUFFIXES: Final = (".yaml", ".yml")
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
"""A larger file is not read."""

_log = structlog.get_logger(__name__)


def load_flows(paths: Sequence[Path]) -> FlowRegistry:
    """The shipped flows and those of the paths, each of which is a folder or a file.

    Raises:
        StartupError: a path does not exist, or a file is not a valid flow: with line, column and caret.
    """
    registry = FlowRegistry()
    for name, source in shipped_flows():
        _add(registry, source, name)
    for path in paths:
        for file in _flow_files(path):
            _add(registry, _read(file), str(file))
    flows = {flow.name: flow for flow in registry.list()}
    for flow in flows.values():
        for found in (*flow.warnings, *check_references(flow, flows), *check_interrupts(flow, flows)):
            _log.warning("flow_warning", flow=flow.name, code=found.code, at=f"{found.file}:{found.line}")
    return registry


def _add(registry: FlowRegistry, source: str, file: str) -> None:
    result = validate_flow(source, file)
    if result.flow is None:
        errors = [each.render(source) for each in result.diagnostics if each.severity == "error"]
        raise StartupError("\n".join([*errors, f"The flow {file} cannot be used: fix or remove it."]))
    try:
        registry.add(result.flow)
    except FlowVersionExists as error:
        other = registry.get(error.name, error.version).file
        raise StartupError(
            f"{file}: {other} has version {error.version} of the flow {error.name} too, with another source. "
            "Give one of them another version."
        ) from None


def _flow_files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(each for each in path.iterdir() if _is_flow(each) and each.is_file())
    elif path.exists():
        yield path
    else:
        raise StartupError(f"flows: there is no file or folder {path}.")


def _is_flow(path: Path) -> bool:
    # Conversation files are in the same folders: table.test.yaml.
    return path.suffix in SUFFIXES and Path(path.stem).suffix != ".test"


def _read(path: Path) -> str:
    try:
        return read_regular(path, MAX_FILE_BYTES).decode()
    except OSError as error:
        raise StartupError(f"flows: {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise StartupError(f"flows: {path} is not UTF-8 text (byte {error.start}).") from None
