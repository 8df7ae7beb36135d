"""`clawdbot flow`: its subcommands and their options; what they do is imported when they run."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

FOUND: Final = 1
"""Exit code: errors were found, a conversation went another way, or too little is covered."""

flow = typer.Typer(no_args_is_help=True, help="Write, check, draw and test conversations, without a server.")

Places = Annotated[
    list[str], typer.Argument(metavar="PATH…", help="Files, folders, or - for standard input.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here instead of to stdout.")
]


class LintFormat(StrEnum):
    """How findings are written."""

    text = "text"
    json = "json"
    github = "github"


class TrialFormat(StrEnum):
    """How outcomes are written."""

    text = "text"
    json = "json"


class GraphFormat(StrEnum):
    """How a flow is drawn."""

    mermaid = "mermaid"
    dot = "dot"
    svg = "svg"
    png = "png"


@flow.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As in book_table.")],
    *,
    directory: Annotated[
        Path, typer.Option("--dir", "-d", metavar="DIR", help="Where to; made if it is not there.")
    ] = Path(),
    locale: Annotated[str, typer.Option(metavar="LOCALE", help="The language that it speaks.")] = "en",
) -> None:
    """Begin a flow: a small one that is clean, and conversations with it that pass."""
    from clawdbot_cli.flow.scaffold import create

    print(create(name, directory, locale))


@flow.command()
def lint(
    places: Places,
    *,
    form: Annotated[
        LintFormat, typer.Option("--format", help="For people, programs, or GitHub's annotations.")
    ] = LintFormat.text,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Tools are those of this file."),
    ] = None,
    addr: Annotated[
        str | None,
        typer.Option("--addr", "-a", metavar="HOST:PORT", help="Tools and models are those of this suite."),
    ] = None,
    key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="File with the API key.")] = None,
    ca_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Speak TLS with the suite.")] = None,
    tool: Annotated[
        list[str] | None, typer.Option("--tool", metavar="NAME", help="A tool that there is; repeatable.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="NAME", help="A model alias; repeatable.")
    ] = None,
) -> None:
    """Check flows and conversation files.

    Tools and models are checked where one of --config, --addr, --tool and --model says which there are. Exit
    code 0: clean; 1: errors, or with --strict warnings; 2: could not look.
    """
    from clawdbot_cli.flow.available_tools import Wishes, known
    from clawdbot_cli.flow.file_discovery import some_sources
    from clawdbot_cli.flow.lint import lint as looked_at
    from clawdbot_cli.flow.lint_report import FORMATS

    there = known(Wishes(config, addr, key_file, ca_file, tool or (), model or ()))
    found = looked_at(some_sources(places), there)
    print(FORMATS[form.value](found))
    failed = found.count("error") or (strict and found.count("warning"))
    raise typer.Exit(FOUND if failed else 0)


@flow.command("test")
def hold_conversations(
    places: Places,
    *,
    only: Annotated[str, typer.Option("-k", metavar="TEXT", help="Those whose names contain this.")] = "",
    form: Annotated[TrialFormat, typer.Option("--format", help="For people or programs.")] = TrialFormat.text,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML here as well.")
    ] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Say which states and transitions nothing went through.")
    ] = False,
    least: Annotated[
        float | None,
        typer.Option(
            "--min-coverage", metavar="PERCENT", min=0, max=100, help="Fail where a flow is covered less."
        ),
    ] = None,
) -> None:
    """Hold conversation files: *.test.yaml, with the flows in and around their folders, and those that ship.

    Exit code 0: all went as written; 1: one did not, or too little is covered; 2: a file cannot be used.
    """
    from clawdbot_cli.flow.file_discovery import some_sources
    from clawdbot_cli.flow.test_report import FORMATS
    from clawdbot_cli.flow.test_run import hold

    trial = hold(some_sources(places), only)
    print(FORMATS[form.value](trial, covered=coverage or least is not None))
    if junit is not None:
        from clawdbot_cli.flow.junit import junit as as_junit

        _write(junit, as_junit(trial))
    raise typer.Exit(trial.exit_code(least or 0.0))


@flow.command()
def graph(
    what: Annotated[str, typer.Argument(metavar="PATH|NAME", help="A file, -, or a flow that ships.")],
    *,
    form: Annotated[
        GraphFormat, typer.Option("--format", help="svg and png need Graphviz.")
    ] = GraphFormat.mermaid,
    output: Output = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", metavar="STATE", help="Stress this state; repeatable.")
    ] = None,
) -> None:
    """Draw a flow."""
    from clawdbot_cli.flow.graph import drawn

    _write(output, drawn(what, form.value, state or ()))


@flow.command()
def schema(*, output: Output = None) -> None:
    """Print the JSON Schema of flow files, with which editors complete and check them."""
    from clawdbot_dialogue.core.flow.parse.json_schema import published_schema

    _write(output, published_schema().encode())


@flow.command()
def watch(places: Places) -> None:
    """Check and test again whenever a file changes; Ctrl-C ends."""
    from clawdbot_cli.flow.watch import watch as keep_looking

    raise typer.Exit(keep_looking(places, lambda lines: print(lines, flush=True)))


def _write(file: Path | None, content: bytes) -> None:
    if file is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    from clawdbot_servicekit.errors import StartupError

    try:
        file.write_bytes(content)
    except OSError as error:
        raise StartupError(f"{file}: cannot be written: {error.strerror}.") from None
