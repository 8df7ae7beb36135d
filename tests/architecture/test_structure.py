"""The tree keeps the promises that ARCHITECTURE.md makes about it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "libs" / "protos" / "src"
MEMBERS = [
    ROOT / "cli" / "pyproject.toml",
    *sorted(ROOT.glob("libs/*/pyproject.toml")),
    *sorted(ROOT.glob("services/*/pyproject.toml")),
]
MAX_LINES = 400
"""Lines of a file; a longer one does more than one thing."""


def hand_written(*folders: str) -> Iterator[Path]:
    """Every Python file that a person wrote under the folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if GENERATED not in path.parents and "node_modules" not in path.parts:
                yield path


def modules(path: Path) -> Iterator[str]:
    """The names of what a file imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_no_hand_written_file_is_longer_than_it_should_be():
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in hand_written("cli", "libs", "services", "tests", "tools")
    }
    assert sizes, "found no files: the test looks in the wrong place"
    assert {path: size for path, size in sizes.items() if size > MAX_LINES} == {}


def test_every_module_says_what_its_room_does():
    silent = [
        str(path.relative_to(ROOT))
        for path in hand_written("cli", "libs", "services", "tools")
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_every_member_bears_the_one_version():
    versions = {
        path.parent.name: tomllib.loads(path.read_text())["project"]["version"]
        for path in [*MEMBERS, ROOT / "pyproject.toml"]
    }
    assert len(set(versions.values())) == 1, versions


def test_every_member_declares_what_it_imports():
    """A service installed alone must bring everything it needs; the workspace hides a forgotten line."""
    provided = {
        "cel_expr_python": "cel-expr-python",
        "google.protobuf": "protobuf",
        "google.rpc": "googleapis-common-protos",
        "grpc": "grpcio",
        "grpc_health": "grpcio-health-checking",
        "grpc_reflection": "grpcio-reflection",
        "prometheus_client": "prometheus-client",
        "prompt_toolkit": "prompt-toolkit",
        "typing_extensions": "typing-extensions",
        "pydantic_settings": "pydantic-settings",
        "yaml": "pyyaml",
        "phonenumbers": "phonenumberslite",
        "clawdbot": "clawdbot-protos",
        **{
            name: name
            for name in (
                "aiohttp",
                "dateutil",
                "jsonschema",
                "limits",
                "orjson",
                "platformdirs",
            )
        },
        **{
            name: name
            for name in ("pydantic", "rich", "simpleeval", "structlog", "typer", "uvloop", "watchfiles")
        },
        **{
            f"clawdbot_{name}": f"clawdbot-{name.replace('_', '-')}"
            for name in (
                "dialogue",
                "model_client",
                "model_gateway",
                "plugin_client",
                "plugin_sdk",
                "plugins",
                "servicekit",
            )
        },
    }
    missing = set()
    for member in MEMBERS:
        project = tomllib.loads(member.read_text())["project"]
        declared = {Requirement(line).name for line in project["dependencies"]}
        for path in hand_written(str(member.parent.relative_to(ROOT))):
            for module in modules(path):
                parts = module.split(".")
                package = provided.get(".".join(parts[:2])) or provided.get(parts[0])
                if package and package not in declared and package != project["name"]:
                    missing.add((project["name"], package))
    assert missing == set()


def stamps(pattern: str) -> set[Version]:
    """The versions that generated code demands at run time, as the pattern's groups spell them."""
    found = set()
    for path in GENERATED.rglob("*_pb2*.py"):
        for match in re.finditer(pattern, path.read_text(encoding="utf-8")):
            found.add(Version(".".join(match.groups())))
    return found


@pytest.mark.parametrize(
    ("package", "pattern"),
    [
        ("grpcio", r"GRPC_GENERATED_VERSION = '([\d.]+)'"),
        ("protobuf", r"Protobuf Python Version: ([\d.]+)"),
    ],
)
def test_generated_code_runs_on_the_lowest_version_we_allow(package, pattern):
    """Generated files refuse to load on anything older than their generator; no floor may promise less."""
    floors = set()
    for member in MEMBERS:
        for line in tomllib.loads(member.read_text())["project"]["dependencies"]:
            requirement = Requirement(line)
            if requirement.name == package:
                floors |= {Version(each.version) for each in requirement.specifier if each.operator == ">="}
    demanded = stamps(pattern)
    assert demanded, "found no stamp: the test looks for the wrong text"
    assert floors, f"nobody declares {package}"
    assert max(demanded) <= min(floors)


def test_the_wire_package_holds_generated_code_only():
    assert not (GENERATED / "clawdbot" / "__init__.py").exists()
    strangers = [
        str(path.relative_to(GENERATED))
        for path in GENERATED.rglob("*.py")
        if not re.search(r"_pb2(_grpc)?\.py$", path.name)
    ]
    assert strangers == []


def test_only_settings_read_the_environment():
    readers = [
        str(path.relative_to(ROOT))
        for path in hand_written("cli", "libs", "services")
        if "settings" not in str(path.relative_to(ROOT))
        and re.search(r"os\.(environ|getenv)", path.read_text(encoding="utf-8"))
    ]
    assert readers == []


def test_integration_tests_lie_where_make_collects_them():
    marked = [path for path in hand_written("tests") if re.search(r"mark\.integration", path.read_text())]
    assert len(marked) > 30
    folders = (ROOT / "tests" / "e2e", ROOT / "tests" / "integration")
    assert not [path for path in marked if not any(folder in path.parents for folder in folders)]
