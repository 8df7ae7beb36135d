"""Makes machine code of the dialogue's core with mypyc; `make compiled` calls it.

What a step of the machine runs through is compiled. Records are not: msgspec reads the annotations of their
fields, and mypyc keeps those in part only.
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
ROOMS = ("language", "language/*", "machine", "understanding", "flow/slots")
"""Folders of the core that are compiled, but for their records."""
FLOW = ("cel/expressions", "cel/fast_path", "flow_registry", "model", "templates", "tree")
"""What the machine uses of `flow`; the rest works once, when a flow is loaded."""
RECORD = "(Struct"
"""What a module has that holds records."""


def modules() -> Iterator[Path]:
    """The modules that are compiled."""
    for room in ROOMS:
        for path in sorted(CORE.glob(f"{room}/*.py")):
            if path.stem != "__init__" and RECORD not in path.read_text(encoding="utf-8"):
                yield path
    yield from (CORE / "flow" / f"{name}.py" for name in FLOW)


def translate(into: Path) -> list[Extension]:
    """The modules as C. What mypyc warns of would behave otherwise than it is written, so it ends here."""
    sources = [str(path.relative_to(ROOT)) for path in modules()]
    told = io.StringIO()
    try:
        with contextlib.redirect_stdout(told):
            settings = ["--config-file=pyproject.toml", *sources]
            extensions = mypycify(settings, opt_level="3", multi_file=True, target_dir=str(into))
    finally:
        sys.stderr.write(told.getvalue())
    if "warning:" in told.getvalue():
        sys.exit("mypyc would not keep to the letter of the above: write it in another way.")
    return extensions


def main(installed: Path, work: Path) -> None:
    """Compiles the modules and puts what comes of it beside those that are installed.

    Args:
        installed: The folder in which the package clawdbot_dialogue is installed.
        work: A folder for what is made on the way.
    """
    os.chdir(ROOT)  # where mypy's settings mean their paths from
    command = build_ext(Distribution({"ext_modules": translate(work)}))
    command.build_lib, command.build_temp = str(installed), str(work)
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    main(*(Path(folder).resolve() for folder in sys.argv[1:]))
