"""`clawdbot flow watch`: checks and tests again whenever a file changes, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from clawdbot_servicekit.errors import StartupError

from clawdbot_cli.flow.available_tools import Known
from clawdbot_cli.flow.file_discovery import KINDS, sources
from clawdbot_cli.flow.lint import lint
from clawdbot_cli.flow.lint_report import text
from clawdbot_cli.flow.test_report import text as test_text
from clawdbot_cli.flow.test_run import hold


def watch(places: Sequence[str], show: Callable[[str], None]) -> int:
    """Looks at the files once, and again after each change; returns 0 at Ctrl-C.

    Args:
        places: Files and folders.
        show: Shows some lines.

    Raises:
        StartupError: a place is not there.
    """
    for place in places:
        if not Path(place).exists():
            raise StartupError(f"{place}: there is no such file or folder.")
    seen = False
    try:
        for changed in _changes(places):
            if changed or not seen:
                show(round_of(places, changed))
                seen = True
    except KeyboardInterrupt:
        return 0
    return 0


def round_of(places: Sequence[str], changed: Iterable[str]) -> str:
    """What lint and the conversations say now.

    Args:
        places: Files and folders.
        changed: The files because of which it is done again.
    """
    names = sorted({Path(each).name for each in changed})
    head = f"── {datetime.now().astimezone():%H:%M:%S} {', '.join(names)}".rstrip()
    try:
        found = list(sources(places))
        told = [head, text(lint(found, Known()))]
        if any(source.kind == "conversations" for source in found):
            told.append(test_text(hold(found), covered=False))
    except StartupError as error:
        # A file may be gone, or half written; the next change brings it back.
        return f"{head}\n{error}\n"
    return "\n".join([*told, ""])


def _changes(places: Sequence[str]) -> Iterable[set[str]]:
    """The files that changed since last time, ten times a second; often none."""
    # Only this command needs it.
    import watchfiles

    def of_interest(_: Any, path: str) -> bool:
        return path.endswith(KINDS)

    # A file that an editor replaces is another file afterwards: its folder is what can be watched.
    folders = {place if place.is_dir() else place.parent for place in map(Path, places)}
    # That it also yields where nothing changed tells when it has begun: what changes before the first round
    # is over must not be missed.
    for changes in watchfiles.watch(
        *sorted(folders), watch_filter=of_interest, debounce=200, rust_timeout=100, yield_on_timeout=True
    ):
        yield {path for _, path in changes}
