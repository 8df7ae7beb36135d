"""The flows that the service starts with: those that come with it, and those in the folders it is told of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog
from clawdbot_servicekit.errors import StartupError

from clawdbot_dialogue.core.flow.flow_registry import FlowLibrary, FlowVersionExists, shipped_flows
from clawdbot_dialogue.core.flow.lint.interrupts import check_interrupts
from clawdbot_dialogue.core.flow.loader import check_references, examine

KINDS: Final = (".yaml", ".yml")
LARGEST: Final = 16 * 1024 * 1024
"""Bytes of one file: what is larger is no flow."""

_log = structlog.get_logger(__name__)


def load_flows(places: Sequence[Path]) -> FlowLibrary:
    """A library with the shipped flows and those of the places, each a folder or a file.

    Raises:
        StartupError: a place is not there, or a file is no usable flow: with line, column and caret.
    """
    library = FlowLibrary()
    for name, source in shipped_flows():
        _add(library, source, name)
    for place in places:
        for path in _files(place):
            _add(library, _read(path), str(path))
    flows = {flow.name: flow for flow in library.list()}
    for flow in flows.values():
        for found in (*flow.warnings, *check_references(flow, flows), *check_interrupts(flow, flows)):
            _log.warning("flow_warning", flow=flow.name, code=found.code, at=f"{found.file}:{found.line}")
    return library


def _add(library: FlowLibrary, source: str, file: str) -> None:
    examination = examine(source, file)
    if examination.flow is None:
        errors = [each.render(source) for each in examination.diagnostics if each.severity == "error"]
        raise StartupError("\n".join([*errors, f"The flow {file} cannot be used: mend it, or take it away."]))
    try:
        library.add(examination.flow)
    except FlowVersionExists as error:
        before = library.get(error.name, error.version).file
        raise StartupError(
            f"{file}: version {error.version} of the flow {error.name} is in {before} already, with another "
            "source: give one of them another version."
        ) from None


def _files(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from sorted(path for path in place.iterdir() if _is_flow(path) and path.is_file())
    elif place.is_file():
        yield place
    else:
        raise StartupError(f"flows: there is no file or folder {place}.")


def _is_flow(path: Path) -> bool:
    # Conversations that test a flow lie beside it: table.test.yaml.
    return path.suffix in KINDS and Path(path.stem).suffix != ".test"


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise StartupError(f"flows: {path} is larger than {LARGEST} bytes, and so no flow.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise StartupError(f"flows: {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise StartupError(f"flows: {path} is no UTF-8 text (byte {error.start}).") from None
