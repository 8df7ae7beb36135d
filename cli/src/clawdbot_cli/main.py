"""The `clawdbot` command: its subcommands and their options.

Each subcommand is implemented in a module of its own, imported when it runs: `up` must not wait for the chat.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from clawdbot_servicekit.errors import StartupError

from clawdbot_cli.flow.app import flow

OPERATOR_ERROR = 2
"""Exit code for what the person at the terminal can fix; the same as in servicekit.process."""

app = typer.Typer(
    name="clawdbot",
    help="Clawdbot: multi-turn conversations, language models and plugins, as three gRPC services.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="YAML file; else $CLAWDBOT_CONFIG, else ./clawdbot.yaml."
    ),
]


Address = Annotated[
    str | None,
    typer.Option("--addr", "-a", metavar="HOST:PORT", help="Address of the suite or the model gateway."),
]
KeyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File with the API key; else $CLAWDBOT_API_KEY.")
]
CaFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Use TLS, and trust the certificate authorities in this PEM file."),
]
CertFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PEM file with your certificate, if the server wants one."),
]
CertKeyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="PEM file with the private key of --cert-file.")
]

models = typer.Typer(no_args_is_help=True, help="List models, watch their load, test one, and count tokens.")
app.add_typer(models, name="models")
app.add_typer(flow, name="flow")


@app.command()
def up(
    *,
    config: Config = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="Address to listen on. [dim]\\[default: 127.0.0.1][/]"),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", metavar="N", help="TCP port. [dim]\\[default: 8080][/]")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", "-w", metavar="N", help="Processes that share the port. [dim]\\[default: 1][/]"
        ),
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where sessions and other state are stored.")
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="debug, info, warning or error. [dim]\\[default: info][/]"),
    ] = None,
) -> None:
    """Start the suite: all three services in one process, on one port.

    Options override CLAWDBOT_… variables, and those override the file. Ctrl-C finishes the calls in flight
    and stops; a second Ctrl-C does not wait for them.
    """
    from clawdbot_cli.up import serve_suite

    options = {
        "server.host": host,
        "server.port": port,
        "server.workers": workers,
        # On the command line, paths are relative to the working directory; in the file, to the file.
        "state_dir": state_dir.absolute() if state_dir else None,
        "telemetry.log_level": log_level,
    }
    overrides = {key: value for key, value in options.items() if value is not None}
    raise typer.Exit(serve_suite(config, overrides))


@app.command()
def chat(
    *,
    flow: Annotated[
        str | None,
        typer.Option("--flow", "-f", metavar="NAME", help="The flow to start. [dim]\\[default: chat][/]"),
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", "-s", metavar="ID", help="Resume this conversation.")
    ] = None,
    addr: Annotated[
        str | None,
        typer.Option(
            "--addr", "-a", metavar="HOST:PORT", help="Address of the suite or the dialogue service."
        ),
    ] = None,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    cert_key_file: CertKeyFile = None,
    locale: Annotated[
        str | None,
        typer.Option(
            "--locale",
            "-l",
            metavar="TAG",
            help="The language to start in, for example zh-CN; else the flow's.",
        ),
    ] = None,
    config: Config = None,
    explain: Annotated[
        bool, typer.Option("--explain", "-e", help="Explain each turn: commands, guards and transitions.")
    ] = False,
) -> None:
    r"""Talk to a running suite; if none is running here, start one in this process.

    Type, or pipe lines in: [bold]printf 'a table for 4 tomorrow at 7pm\n' | clawdbot chat -f book_table[/]
    """
    from clawdbot_cli.client_settings import silence_grpc_log

    silence_grpc_log()  # before anything imports gRPC
    from clawdbot_cli.chat.command import ChatOptions, run_chat
    from clawdbot_cli.tls_options import TlsOptions

    tls = TlsOptions(ca_file, cert_file, cert_key_file)
    options = ChatOptions(flow, session, addr, key_file, tls, config, explain=explain, locale=locale)
    raise typer.Exit(run_chat(options))


@models.command("list")
def list_models(
    *,
    addr: Address = None,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    cert_key_file: CertKeyFile = None,
    config: Config = None,
) -> None:
    """List aliases and their targets, models, and backends."""
    from clawdbot_cli.client_settings import silence_grpc_log

    silence_grpc_log()  # before anything imports gRPC
    from clawdbot_cli.connection import ConnectionOptions
    from clawdbot_cli.models import command
    from clawdbot_cli.tls_options import TlsOptions

    options = ConnectionOptions(addr, TlsOptions(ca_file, cert_file, cert_key_file), config)
    raise typer.Exit(command.list_models(options, key_file))


@models.command("top")
def show_top(
    *,
    addr: Address = None,
    interval: Annotated[
        float, typer.Option(min=0.2, max=3600, metavar="SECONDS", help="Time between two looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one look and end.")] = False,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    cert_key_file: CertKeyFile = None,
    config: Config = None,
) -> None:
    """Show the backends' load as it changes: requests, queues, connections, tokens."""
    from clawdbot_cli.client_settings import silence_grpc_log

    silence_grpc_log()  # before anything imports gRPC
    from clawdbot_cli.connection import ConnectionOptions
    from clawdbot_cli.models import command
    from clawdbot_cli.tls_options import TlsOptions

    options = ConnectionOptions(addr, TlsOptions(ca_file, cert_file, cert_key_file), config)
    raise typer.Exit(command.show_top(options, key_file, interval, once=once))


@models.command("test")
def check_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An alias, or backend/model.")],
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Also fail if it calls no tool or does not follow the schema.")
    ] = False,
    addr: Address = None,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    cert_key_file: CertKeyFile = None,
    config: Config = None,
) -> None:
    """Test a model: whether it replies, how fast, whether it calls tools and follows a JSON schema.

    Exit code 1 if it does not reply.
    """
    from clawdbot_cli.client_settings import silence_grpc_log

    silence_grpc_log()  # before anything imports gRPC
    from clawdbot_cli.connection import ConnectionOptions
    from clawdbot_cli.models import command
    from clawdbot_cli.tls_options import TlsOptions

    options = ConnectionOptions(addr, TlsOptions(ca_file, cert_file, cert_key_file), config)
    raise typer.Exit(command.check_model(options, key_file, name, strict=strict))


@models.command("tokens")
def count_tokens(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A text file, or - for standard input.")],
    *,
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME", help="An alias, or backend/model.")
    ] = "",
    addr: Address = None,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    cert_key_file: CertKeyFile = None,
    config: Config = None,
) -> None:
    """Count the tokens of a text, and say who counted them and how exactly."""
    from clawdbot_cli.client_settings import silence_grpc_log

    silence_grpc_log()  # before anything imports gRPC
    from clawdbot_cli.connection import ConnectionOptions
    from clawdbot_cli.models import command
    from clawdbot_cli.tls_options import TlsOptions

    options = ConnectionOptions(addr, TlsOptions(ca_file, cert_file, cert_key_file), config)
    raise typer.Exit(command.count_tokens(options, key_file, file, model))


@app.command()
def version() -> None:
    """Print the version, and whether the dialogue's core is compiled."""
    from importlib.metadata import version as installed_version

    from clawdbot_dialogue.build_info import core_is_compiled

    python = ".".join(map(str, sys.version_info[:3]))
    core = "compiled" if core_is_compiled() else "interpreted"
    typer.echo(
        f"clawdbot {installed_version('clawdbot-cli')} (Python {python}, "
        f"grpcio {installed_version('grpcio')}, dialogue core {core})"
    )


def main() -> None:
    """Runs the command and exits; prints one sentence and exits with 2 for what the person can fix."""
    try:
        app()
    except StartupError as error:
        print(error, file=sys.stderr)
        sys.exit(OPERATOR_ERROR)
