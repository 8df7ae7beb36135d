"""Commands to try once the suite is serving; they work as printed, with this configuration."""

from __future__ import annotations

import shlex
from pathlib import Path

from clawdbot.dialogue.v1.flow_service_pb2 import DESCRIPTOR as FLOWS
from clawdbot_servicekit import sockets
from clawdbot_servicekit.settings import SharedSettings
from clawdbot_servicekit.settings.suite import PORTS

from clawdbot_cli.addresses import connectable_host
from clawdbot_cli.invocation import command_line, short_path


def next_steps(settings: SharedSettings, port: int) -> list[tuple[str, str]]:
    """Pairs of a command and what it does.

    Args:
        settings: how the server listens, and whom it lets in.
        port: where it listens.
    """
    address = sockets.target(connectable_host(settings.server.host), port)
    chat = ["chat", "--flow", "book_table"]
    if address != sockets.target("127.0.0.1", PORTS["suite"]):
        chat += ["--addr", address]
    if settings.auth.requires_key():
        chat += ["--key-file", "YOUR_KEY_FILE"]
    if settings.tls.cert_file is not None:
        chat += ["--ca-file", "YOUR_CA_FILE"]
    if settings.tls.client_ca_file is not None:
        chat += ["--cert-file", "YOUR_CERT_FILE", "--cert-key-file", "YOUR_CERT_KEY_FILE"]
    call = grpcurl(settings, address, source_folder("protos"))
    docs = source_folder("docs")
    read = shlex.join(["less", short_path(docs / "cli.md", Path.cwd())]) if docs else command_line("--help")
    return [
        (command_line(*chat), "book a table"),
        *([(call, "what other programs can call")] if call else []),
        (read, "how to use it"),
    ]


def grpcurl(settings: SharedSettings, address: str, protos: Path | None) -> str:
    """A working command line for grpcurl; empty if there is none.

    Args:
        settings: how the server listens, and whom it lets in.
        address: where to reach it.
        protos: folder of the .proto files, for a server without reflection; None if there is none.
    """
    words = ["grpcurl", "-plaintext"]
    if settings.tls.cert_file is not None:
        words[1:] = ["-cacert", "YOUR_CA_FILE"]
    if settings.tls.client_ca_file is not None:
        words += ["-cert", "YOUR_CERT_FILE", "-key", "YOUR_CERT_KEY_FILE"]
    if _has_reflection(settings):
        return shlex.join([*words, address, "list"])
    if protos is None:
        return ""
    if settings.auth.requires_key():
        words += ["-H", "authorization: Bearer YOUR_KEY"]
    words += ["-import-path", short_path(protos, Path.cwd()), "-proto", FLOWS.name]
    return shlex.join([*words, address, f"{FLOWS.services_by_name['FlowService'].full_name}/ListFlows"])


def _has_reflection(settings: SharedSettings) -> bool:
    """Whether reflection is on, by the host's rule."""
    server = settings.server
    return sockets.is_loopback(server.host) if server.reflection is None else server.reflection


def source_folder(name: str) -> Path | None:
    """A folder of the source tree that this code runs from; None for an installed wheel."""
    tree = Path(__file__).resolve().parents[3]
    return tree / name if (tree / "protos").is_dir() and (tree / name).is_dir() else None
