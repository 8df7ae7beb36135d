"""`clawdbot flow`: its subcommands and their options. Each implementation is imported when it runs."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

FAILED: Final = 1
"""Exit code for errors that lint found; failed tests have the same."""

flow = typer.Typer(no_args_is_help=True, help="Write, check, test and draw flows, without a server.")

Paths = Annotated[list[str], typer.Argument(metavar="PATH…", help="Files, folders, or - for standard input.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file, not to stdout.")
]


class LintFormat(StrEnum):
    """Output of `flow lint`."""

    text = "text"
    json = "json"
    github = "github"


class TestFormat(StrEnum):
    """Output of `flow test`."""

    text = "text"
    json = "json"


class GraphFormat(StrEnum):
    """Output of `flow graph`."""

    mermaid = "mermaid"
    dot = "dot"
    svg = "svg"
    png = "png"


@flow.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="For example book_table.")],
    *,
    directory: Annotated[
        Path, typer.Option("--dir", "-d", metavar="DIR", help="Folder to write to; created if missing.")
    ] = Path(),
    locale: Annotated[
        str, typer.Option(metavar="LOCALE", help="The language of the flow, for example zh.")
    ] = "en",
) -> None:
    """Create a small flow without lint warnings, and conversation tests for it that pass."""
    from clawdbot_cli.flow.scaffold import create

    print(create(name, directory, locale))


@flow.command()
def lint(
    paths: Paths,
    *,
    output_format: Annotated[
        LintFormat, typer.Option("--format", help="For people, programs, or GitHub annotations.")
    ] = LintFormat.text,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings, too.")] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Check tools against this configuration."),
    ] = None,
    addr: Annotated[
        str | None,
        typer.Option("--addr", "-a", metavar="HOST:PORT", help="Check tools and models against this suite."),
    ] = None,
    key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="File with the API key.")] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Use TLS, and trust the certificate authorities in this PEM file."),
    ] = None,
    cert_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PEM file with your certificate, if the suite wants one."),
    ] = None,
    cert_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file with the private key of --cert-file.")
    ] = None,
    tool: Annotated[
        list[str] | None, typer.Option("--tool", metavar="NAME", help="A tool that exists; repeatable.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="A model alias that exists; repeatable."),
    ] = None,
) -> None:
    """Check flows and conversation tests.

    Tools and models are checked only if --config, --addr, --tool or --model says which exist. Exit code 0: no
    errors; 1: errors, or with --strict warnings; 2: a file cannot be checked.
    """
    from clawdbot_cli.flow.available_tools import ToolOptions, available_tools
    from clawdbot_cli.flow.file_discovery import require_files
    from clawdbot_cli.flow.lint import lint_files
    from clawdbot_cli.flow.lint_report import FORMATS
    from clawdbot_cli.tls_options import TlsOptions

    tls = TlsOptions(ca_file, cert_file, cert_key_file)
    tools = available_tools(ToolOptions(config, addr, key_file, tls, tool or (), model or ()))
    result = lint_files(require_files(paths), tools)
    print(FORMATS[output_format.value](result))
    failed = result.count("error") or (strict and result.count("warning"))
    raise typer.Exit(FAILED if failed else 0)


@flow.command("test")
def run_tests(
    paths: Paths,
    *,
    name_filter: Annotated[
        str, typer.Option("-k", metavar="TEXT", help="Run only tests whose name contains this text.")
    ] = "",
    output_format: Annotated[
        TestFormat, typer.Option("--format", help="For people or programs.")
    ] = TestFormat.text,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML to this file.")
    ] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="List states and transitions that no test covers.")
    ] = False,
    min_coverage: Annotated[
        float | None,
        typer.Option(
            "--min-coverage",
            metavar="PERCENT",
            min=0,
            max=100,
            help="Fail if less of a flow's states or transitions is covered.",
        ),
    ] = None,
) -> None:
    """Run conversation tests: *.test.yaml files.

    Their flows are looked up in and around the folder of the file, and among the shipped flows. Exit code 0:
    all passed; 1: a test failed, or too little is covered; 2: a file cannot be used.
    """
    from clawdbot_cli.flow.file_discovery import require_files
    from clawdbot_cli.flow.test_report import FORMATS
    from clawdbot_cli.flow.test_run import run_test_files

    run = run_test_files(require_files(paths), name_filter)
    print(FORMATS[output_format.value](run, with_coverage=coverage or min_coverage is not None))
    if junit is not None:
        from clawdbot_cli.flow.junit import junit_xml

        _write(junit, junit_xml(run))
    raise typer.Exit(run.exit_code(min_coverage or 0.0))


@flow.command()
def graph(
    target: Annotated[
        str, typer.Argument(metavar="PATH|NAME", help="A file, -, or the name of a shipped flow.")
    ],
    *,
    output_format: Annotated[
        GraphFormat, typer.Option("--format", help="svg and png need Graphviz.")
    ] = GraphFormat.mermaid,
    output: Output = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", metavar="STATE", help="Highlight this state; repeatable.")
    ] = None,
) -> None:
    """Draw a flow as a diagram."""
    from clawdbot_cli.flow.graph import draw_flow

    _write(output, draw_flow(target, output_format.value, state or ()))


@flow.command()
def schema(*, output: Output = None) -> None:
    """Print the JSON Schema of flow files, for completion and checks in editors."""
    from clawdbot_dialogue.flow_toolkit import flow_schema

    _write(output, flow_schema().encode())


@flow.command()
def watch(paths: Paths) -> None:
    """Check and test whenever a file changes, until Ctrl-C."""
    from clawdbot_cli.flow.watch import watch_files

    raise typer.Exit(watch_files(paths, lambda text: print(text, flush=True)))


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
