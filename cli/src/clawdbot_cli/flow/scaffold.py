"""`clawdbot flow new`: writes a flow without lint warnings and tests that pass, as a starting point."""

from __future__ import annotations

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from clawdbot_dialogue.flow_toolkit import installed_languages
from clawdbot_servicekit.errors import StartupError

from clawdbot_cli.invocation import command_line, short_path

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def create(name: str, folder: Path, locale: str) -> str:
    """Writes both files, and returns what to do next, for the person.

    Raises:
        StartupError: the name is not valid, there is no template for the locale, or a file exists already.
    """
    if not _NAME.fullmatch(name):
        raise StartupError(
            f"{name}: not a valid flow name. Use lower case letters, digits, _ and -, with a letter first."
        )
    templates = _templates()
    if locale not in templates:
        raise StartupError(
            f"There is no template for the locale {locale}. Available: {', '.join(sorted(templates))}."
        )
    files = {
        folder / f"{name}.yaml": templates[locale] / "flow.yaml",
        folder / f"{name}.test.yaml": templates[locale] / "conversations.yaml",
    }
    if existing := [str(path) for path in files if path.exists()]:
        raise StartupError(f"{' and '.join(existing)}: already exists; nothing was written.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, template in files.items():
            # "x": a file that was created in the meantime is not overwritten.
            with path.open("x", encoding="utf-8") as file:
                file.write(template.read_text(encoding="utf-8").replace("flow: NAME", f"flow: {name}", 1))
    except OSError as error:
        raise StartupError(f"{folder}: cannot be written to: {error.strerror}.") from None
    return _next_steps(list(files), folder)


def locales() -> list[str]:
    """The locales that have a template."""
    return sorted(_templates())


def _templates() -> dict[str, Traversable]:
    folder = resources.files("clawdbot_cli.flow").joinpath("templates")
    return {each.name: each for each in folder.iterdir() if each.name in installed_languages()}


def _next_steps(written: list[Path], folder: Path) -> str:
    cwd = Path.cwd()
    flow, tests = (short_path(path, cwd) for path in written)
    schema = short_path(folder / "flow.v1.schema.json", cwd)
    steps = (
        (command_line("flow", "lint", flow), "check it"),
        (command_line("flow", "test", tests), "test it"),
        (command_line("flow", "watch", short_path(folder, cwd)), "check and test on every change"),
        (command_line("flow", "schema", "-o", schema), "completion in your editor"),
        (f"CLAWDBOT_FLOWS={short_path(folder, cwd)} {command_line('up')}", "serve it"),
    )
    return "\n".join(
        [f"Wrote {flow} and {tests}. Next:", *(f"  {command}  # {purpose}" for command, purpose in steps)]
    )
