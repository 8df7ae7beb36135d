"""Holds conversation files from a shell: python -m clawdbot_dialogue.conversations --flow f.yaml tests.yaml.

The exit code is 0 where all went as written, 1 where one did not, and 2 where a file cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from clawdbot_dialogue.conversations.format import ConversationInvalid
from clawdbot_dialogue.conversations.runner import run_conversations, shipped_conversations
from clawdbot_dialogue.core.flow.diagnostics import Diagnostic
from clawdbot_dialogue.core.flow.library import FlowLibrary, FlowNotFound, FlowVersionExists, shipped_flows
from clawdbot_dialogue.core.flow.loading import examine
from clawdbot_dialogue.core.flow.slots import SlotInvalid


class _Unusable(Exception):
    """A file cannot be used; the text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m clawdbot_dialogue.conversations", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="conversation files; none: those that ship")
    parser.add_argument(
        "--flow", action="append", default=[], type=Path, help="a flow besides those that ship; repeatable"
    )
    options = parser.parse_args(arguments)
    try:
        library = _library(options.flow)
        files = [(str(path), _text(path)) for path in options.files] or shipped_conversations()
        failed = sum([_held(file, source, library) for file, source in files])
    except _Unusable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 1 if failed else 0


def _library(paths: Iterable[Path]) -> FlowLibrary:
    library = FlowLibrary()
    given: list[tuple[str, str]] = [(str(path), _text(path)) for path in paths]
    for file, source in (*given, *shipped_flows()):
        found = examine(source, file)
        if (file, source) in given:
            sys.stderr.write("".join(f"{each.render(source)}\n" for each in found.diagnostics))
        if found.flow is None:
            raise _Unusable(f"The flow {file} cannot be used.")
        try:
            library.add(found.flow)
        except FlowVersionExists:
            # A flow that is being written goes before the one that ships under its name.
            if (file, source) in given:
                raise _Unusable(f"{file}: version {found.flow.version} is given twice.") from None
    return library


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _Unusable(f"{path} cannot be read: {error}") from None


def _held(file: str, source: str, library: FlowLibrary) -> int:
    """Holds the conversations of a file and tells how they went; returns how many failed."""
    try:
        outcomes = run_conversations(source, file, library.get)
    except ConversationInvalid as error:
        raise _Unusable(_rendered(error.diagnostics, source)) from None
    except (FlowNotFound, SlotInvalid) as error:
        raise _Unusable(f"{file}: {error}") from None
    sys.stdout.write("".join(f"{outcome.render()}\n" for outcome in outcomes))
    return sum(bool(outcome.failures) for outcome in outcomes)


def _rendered(diagnostics: Iterable[Diagnostic], source: str) -> str:
    return "\n".join(each.render(source) for each in diagnostics)


if __name__ == "__main__":
    sys.exit(main())
