"""Go users can import every contract: one module, and the folders of protos/ below it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROTOS = Path(__file__).resolve().parents[3] / "protos"
FILES = sorted(PROTOS.rglob("*.proto"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PROTOS)))
def test_a_file_belongs_to_the_go_package_of_its_folder(file):
    """Its name is the last two parts of the proto package, as one word: dialoguev1."""
    folder = file.parent.relative_to(PROTOS)
    name = "".join(folder.parts[-2:]).replace("_", "")
    expected = f'option go_package = "clawdbot.dev/protos/{folder.as_posix()};{name}";'
    assert re.findall(r"^option go_package.*$", file.read_text(), re.MULTILINE) == [expected]
