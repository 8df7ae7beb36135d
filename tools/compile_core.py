"""Compiles the core of the dialogue service to machine code with mypyc; `make compiled` runs it.

It compiles everything that a step of the state machine runs through, except modules with records: msgspec
reads the annotations of their fields, and mypyc keeps only some of them.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mypyc.build import mypycify
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "services" / "dialogue" / "src" / "clawdbot_dialogue" / "core"
FOLDERS = ("language", "language/*", "machine", "understanding", "flow/slots")
"""Folders of the core that are compiled, except for their modules with records."""
FLOW_MODULES = ("cel/expressions", "cel/fast_path", "flow_registry", "model", "templates", "tree")
"""The modules of `flow` that the machine uses; the others run only once, when a flow is loaded."""
RECORD_MARKER = "(Struct"
"""Occurs in the source of every module with records."""


def modules() -> Iterator[Path]:
    """The modules to compile."""
    for folder in FOLDERS:
        for path in sorted(CORE.glob(f"{folder}/*.py")):
            if path.stem != "__init__" and RECORD_MARKER not in path.read_text(encoding="utf-8"):
                yield path
    yield from (CORE / "flow" / f"{name}.py" for name in FLOW_MODULES)


def translate(target_dir: Path) -> list[Extension]:
    """Translates the modules to C. Exits on a warning of mypyc: compiled code would behave differently."""
    sources = [str(path.relative_to(ROOT)) for path in modules()]
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            arguments = ["--config-file=pyproject.toml", *sources]
            extensions = mypycify(arguments, opt_level="3", multi_file=True, target_dir=str(target_dir))
    finally:
        sys.stderr.write(output.getvalue())
    if "warning:" in output.getvalue():
        sys.exit("mypyc would not preserve the behavior of the code above. Rewrite that code.")
    return extensions


def main(installed: Path, work: Path) -> None:
    """Compiles the modules, and puts the extensions next to the installed modules.

    Args:
        installed: The folder that contains the installed package clawdbot_dialogue.
        work: A folder for intermediate files.
    """
    os.chdir(ROOT)  # mypy's configuration has paths relative to it
    command = build_ext(Distribution({"ext_modules": translate(work)}))
    command.build_lib, command.build_temp = str(installed), str(work)
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    main(*(Path(folder).resolve() for folder in sys.argv[1:]))
