"""`clawdbot flow new`: a flow that is clean and its conversations that pass, to be changed from there."""

from __future__ import annotations

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from clawdbot_dialogue.core.language.language_pack import LOCALES
from clawdbot_servicekit.errors import StartupError

from clawdbot_cli.invocation import command_line, shown

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def create(name: str, folder: Path, locale: str) -> str:
    """Writes both files; returns what to do next, for the person.

    Raises:
        StartupError: the name is none, there is no beginning in that language, or a file is there already.
    """
    if not _NAME.fullmatch(name):
        raise StartupError(f"{name}: a flow's name is lower case letters, digits, _ and -.")
    templates = _templates()
    if locale not in templates:
        raise StartupError(f"There is no beginning in {locale}; there is: {', '.join(sorted(templates))}.")
    written = {
        folder / f"{name}.yaml": templates[locale] / "flow.yaml",
        folder / f"{name}.test.yaml": templates[locale] / "conversations.yaml",
    }
    if there := [str(path) for path in written if path.exists()]:
        raise StartupError(f"{' and '.join(there)}: there already; nothing was written.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, template in written.items():
            # "x": whoever was quicker keeps his file.
            with path.open("x", encoding="utf-8") as file:
                file.write(template.read_text(encoding="utf-8").replace("flow: NAME", f"flow: {name}", 1))
    except OSError as error:
        raise StartupError(f"{folder}: cannot be written to: {error.strerror}.") from None
    return _next(list(written), folder)


def locales() -> list[str]:
    """The languages that a new flow can be in."""
    return sorted(_templates())


def _templates() -> dict[str, Traversable]:
    folder = resources.files("clawdbot_cli.flow").joinpath("templates")
    return {each.name: each for each in folder.iterdir() if each.name in LOCALES}


def _next(written: list[Path], folder: Path) -> str:
    here = Path.cwd()
    flow, conversations = (shown(path, here) for path in written)
    schema = shown(folder / "flow.v1.schema.json", here)
    steps = (
        (command_line("flow", "lint", flow), "check it"),
        (command_line("flow", "test", conversations), "hold its conversations"),
        (command_line("flow", "watch", shown(folder, here)), "do both whenever a file changes"),
        (command_line("flow", "schema", "-o", schema), "let your editor complete it"),
        (f"CLAWDBOT_FLOWS={shown(folder, here)} {command_line('up')}", "serve it"),
    )
    return "\n".join(
        [f"Wrote {flow} and {conversations}. Next:", *(f"  {line}  # {what}" for line, what in steps)]
    )
