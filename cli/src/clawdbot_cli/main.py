"""The `clawdbot` command: its subcommands and their options.

What a subcommand does is in a module of its own, imported when it runs: `up` must not wait for the chat.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from clawdbot_servicekit.errors import StartupError

from clawdbot_cli.flow.app import flow

OPERATOR_ERROR = 2
"""Exit code for what the person at the terminal can mend; as servicekit.process has it."""

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
    typer.Option("--addr", "-a", metavar="HOST:PORT", help="Where the suite, or the model gateway, is."),
]
KeyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File with the API key; else $CLAWDBOT_API_KEY.")
]
CaFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Speak TLS with a server whose certificate this PEM file vouches for."),
]

models = typer.Typer(no_args_is_help=True, help="List models, try one, and count tokens.")
app.add_typer(models, name="models")
app.add_typer(flow, name="flow")


@app.command()
def up(
    *,
    config: Config = None,
    host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Listen here. [dim]\\[default: 127.0.0.1][/]")
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
        Path | None, typer.Option(metavar="DIR", help="Where sessions and other state are kept.")
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="debug, info, warning or error. [dim]\\[default: info][/]"),
    ] = None,
) -> None:
    """Start the suite: all three services in one process, on one port.

    Options beat CLAWDBOT_… variables, and those beat the file. Ctrl-C finishes the calls in flight and ends;
    a second one does not wait.
    """
    from clawdbot_cli.up import serve_suite

    given = {
        "server.host": host,
        "server.port": port,
        "server.workers": workers,
        # A path of the command line starts here; one of the file, at the file.
        "state_dir": state_dir.absolute() if state_dir else None,
        "telemetry.log_level": log_level,
    }
    overrides = {key: value for key, value in given.items() if value is not None}
    raise typer.Exit(serve_suite(config, overrides))


@app.command()
def chat(
    *,
    flow: Annotated[
        str | None,
        typer.Option(
            "--flow", "-f", metavar="NAME", help="The conversation to hold. [dim]\\[default: chat][/]"
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", "-s", metavar="ID", help="Go on with this conversation.")
    ] = None,
    addr: Annotated[
        str | None,
        typer.Option(
            "--addr", "-a", metavar="HOST:PORT", help="Where the suite, or the dialogue service, is."
        ),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the API key; else $CLAWDBOT_API_KEY.")
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Speak TLS with a server whose certificate this PEM file vouches for."
        ),
    ] = None,
    locale: Annotated[
        str | None,
        typer.Option(
            "--locale",
            "-l",
            metavar="TAG",
            help="The language to begin in, such as zh-CN; else the flow's.",
        ),
    ] = None,
    config: Config = None,
    explain: Annotated[
        bool, typer.Option("--explain", "-e", help="After each turn say why it went that way.")
    ] = False,
) -> None:
    r"""Talk to a running suite, or to one of its own when none runs here.

    Type, or pipe lines in: [bold]printf 'a table for 4 tomorrow at 7pm\n' | clawdbot chat -f book_table[/]
    """
    from clawdbot_cli.client_settings import quiet_transport

    quiet_transport()  # before anything imports gRPC
    from clawdbot_cli.chat.command import Wishes, hold_chat

    raise typer.Exit(
        hold_chat(Wishes(flow, session, addr, key_file, ca_file, config, explain=explain, locale=locale))
    )


@models.command("list")
def list_models(
    *, addr: Address = None, key_file: KeyFile = None, ca_file: CaFile = None, config: Config = None
) -> None:
    """List aliases and what they mean, models, and backends."""
    from clawdbot_cli.client_settings import quiet_transport

    quiet_transport()  # before anything imports gRPC
    from clawdbot_cli.connection import Whereabouts
    from clawdbot_cli.models import command

    raise typer.Exit(command.list_models(Whereabouts(addr, ca_file, config), key_file))


@models.command("test")
def try_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An alias, or backend/model.")],
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 also when it calls no tool or misses the JSON.")
    ] = False,
    addr: Address = None,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    config: Config = None,
) -> None:
    """Try a model: does it answer, how fast, does it call tools and keep to JSON.

    Exit code 1 when it does not answer.
    """
    from clawdbot_cli.client_settings import quiet_transport

    quiet_transport()  # before anything imports gRPC
    from clawdbot_cli.connection import Whereabouts
    from clawdbot_cli.models import command

    raise typer.Exit(command.try_model(Whereabouts(addr, ca_file, config), key_file, name, strict=strict))


@models.command("tokens")
def count_tokens(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of text; - for standard input.")],
    *,
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME", help="An alias, or backend/model.")
    ] = "",
    addr: Address = None,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    config: Config = None,
) -> None:
    """Say how many tokens a text has, who counted, and how wrong that may be."""
    from clawdbot_cli.client_settings import quiet_transport

    quiet_transport()  # before anything imports gRPC
    from clawdbot_cli.connection import Whereabouts
    from clawdbot_cli.models import command

    raise typer.Exit(command.count_tokens(Whereabouts(addr, ca_file, config), key_file, file, model))


@app.command()
def version() -> None:
    """Say which version this is, and whether its dialogue core is compiled."""
    from importlib.metadata import version as version_of

    from clawdbot_dialogue.build_info import core_is_compiled

    python = ".".join(map(str, sys.version_info[:3]))
    core = "compiled" if core_is_compiled() else "interpreted"
    typer.echo(
        f"clawdbot {version_of('clawdbot-cli')} (Python {python}, grpcio {version_of('grpcio')}, "
        f"dialogue core {core})"
    )


def main() -> None:
    """Runs the command and exits: 2 and one clear sentence for what the person at the terminal can mend."""
    try:
        app()
    except StartupError as error:
        print(error, file=sys.stderr)
        sys.exit(OPERATOR_ERROR)
