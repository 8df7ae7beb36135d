"""How this command was called, so that the command lines it prints work when pasted."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

NAME = "clawdbot"


def command_line(*arguments: str) -> str:
    """A shell line that calls this command with other arguments, from the same folder."""
    return shlex.join([*program(sys.argv[0], sys.executable, Path.cwd()), *arguments])


def program(script: str, interpreter: str, cwd: Path) -> list[str]:
    """The words that call this program.

    Args:
        script: sys.argv[0].
        interpreter: sys.executable.
        cwd: the working directory.
    """
    path = Path(script)
    if path.name == "__main__.py":
        return [short_path(Path(interpreter), cwd), "-m", "clawdbot_cli"]
    found = shutil.which(NAME)
    if found is not None and path.exists() and Path(found).samefile(path):
        return [NAME]
    return [short_path(path, cwd)]


def short_path(path: Path, cwd: Path) -> str:
    """The shortest way to write the path: relative if it is in the working directory, else absolute."""
    absolute = path if path.is_absolute() else cwd / path
    if not absolute.is_relative_to(cwd):
        return str(absolute)
    relative = absolute.relative_to(cwd)
    # The shell looks up a bare name on PATH.
    return f"./{relative}" if len(relative.parts) == 1 else str(relative)
