"""`clawdbot flow watch`: checks and tests whenever a file changes, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from clawdbot_servicekit.errors import StartupError

from clawdbot_cli.flow import lint_report, test_report
from clawdbot_cli.flow.available_tools import AvailableTools
from clawdbot_cli.flow.file_discovery import SUFFIXES, find_files
from clawdbot_cli.flow.lint import lint_files
from clawdbot_cli.flow.test_run import run_test_files


def watch_files(paths: Sequence[str], show: Callable[[str], None]) -> int:
    """Checks the files once, and again after each change; returns 0 on Ctrl-C.

    Args:
        paths: Files and folders.
        show: Shows some lines of text.

    Raises:
        StartupError: a path does not exist.
    """
    for path in paths:
        if not Path(path).exists():
            raise StartupError(f"{path}: no such file or folder.")
    first = True
    try:
        for changed in _changes(paths):
            if changed or first:
                show(check_and_test(paths, changed))
                first = False
    except KeyboardInterrupt:
        return 0
    return 0


def check_and_test(paths: Sequence[str], changed: Iterable[str]) -> str:
    """The current output of lint and of the tests.

    Args:
        paths: Files and folders.
        changed: The files that have changed, for the heading.
    """
    names = sorted({Path(each).name for each in changed})
    heading = f"── {datetime.now().astimezone():%H:%M:%S} {', '.join(names)}".rstrip()
    try:
        files = list(find_files(paths))
        parts = [heading, lint_report.as_text(lint_files(files, AvailableTools()))]
        if any(file.kind == "conversations" for file in files):
            parts.append(test_report.as_text(run_test_files(files), with_coverage=False))
    except StartupError as error:
        # A file may be missing or half written; the next change brings it back.
        return f"{heading}\n{error}\n"
    return "\n".join([*parts, ""])


def _changes(paths: Sequence[str]) -> Iterable[set[str]]:
    """The files that changed since the last time, ten times a second; often none."""
    # Imported here: only this command needs it.
    import watchfiles

    def is_yaml(_: Any, path: str) -> bool:
        return path.endswith(SUFFIXES)

    # An editor may replace a file by another one, so the folder has to be watched.
    folders = {path if path.is_dir() else path.parent for path in map(Path, paths)}
    # yield_on_timeout: the first, empty yield says that watching has started, so that no change during the
    # first round is missed.
    for changes in watchfiles.watch(
        *sorted(folders), watch_filter=is_yaml, debounce=200, rust_timeout=100, yield_on_timeout=True
    ):
        yield {path for _, path in changes}
