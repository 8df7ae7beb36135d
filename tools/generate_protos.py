"""Generates libs/protos/src from protos/: messages, stubs and their types.

`make protos` writes the package. `make protos-check` writes to a temporary folder and compares, so that it
needs neither git nor a clean tree.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE = ROOT / "libs" / "protos" / "src"


def generate(target: Path) -> None:
    """Writes the generated code for every file under protos/ into `target`."""
    sources = sorted(PROTOS.rglob("*.proto"))
    services = [source for source in sources if source.stem.endswith("_service")]
    # protoc looks for the mypy plugins on PATH; they are installed next to the interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    includes = [f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}"]
    run(includes, [f"--python_out={target}", f"--mypy_out=quiet:{target}"], sources)
    run(includes, [f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}"], services)
    (target / "clawdbot" / "py.typed").touch()


def run(includes: list[str], outputs: list[str], sources: list[Path]) -> None:
    """Calls protoc once; it prints its errors itself."""
    if protoc.main(["protoc", *includes, *outputs, *map(str, sources)]) != 0:
        sys.exit("protoc failed: see above")


def differences(comparison: filecmp.dircmp[str], prefix: str = "") -> list[str]:
    """The paths that differ between two trees, relative to their roots."""
    found = [
        f"{prefix}{name}" for name in (*comparison.left_only, *comparison.right_only, *comparison.diff_files)
    ]
    for name, below in comparison.subdirs.items():
        found += differences(below, f"{prefix}{name}/")
    return sorted(found)


def main() -> None:
    """Parses the command line and generates or checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        if check:
            stale = differences(filecmp.dircmp(fresh, PACKAGE, ignore=["__pycache__"]))
            if stale:
                sys.exit("generated code is stale, run `make protos`:\n  " + "\n  ".join(stale))
            print("generated code is fresh")
            return
        shutil.rmtree(PACKAGE / "clawdbot", ignore_errors=True)
        shutil.copytree(fresh, PACKAGE, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
