"""How this command was called, so that what it prints for copying is true as typed."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

NAME = "clawdbot"


def command_line(*arguments: str) -> str:
    """A line that calls this command again, from the same folder, with other arguments."""
    return shlex.join([*program(sys.argv[0], sys.executable, Path.cwd()), *arguments])


def program(script: str, interpreter: str, here: Path) -> list[str]:
    """The words that call this program.

    Args:
        script: sys.argv[0].
        interpreter: sys.executable.
        here: the working directory.
    """
    path = Path(script)
    if path.name == "__main__.py":
        return [shown(Path(interpreter), here), "-m", "clawdbot_cli"]
    found = shutil.which(NAME)
    if found is not None and path.exists() and Path(found).samefile(path):
        return [NAME]
    return [shown(path, here)]


def shown(path: Path, here: Path) -> str:
    """The path as short as it can be written: relative to the working directory where it is below it."""
    absolute = path if path.is_absolute() else here / path
    if not absolute.is_relative_to(here):
        return str(absolute)
    relative = absolute.relative_to(here)
    # A bare name would be looked for on the path.
    return f"./{relative}" if len(relative.parts) == 1 else str(relative)
