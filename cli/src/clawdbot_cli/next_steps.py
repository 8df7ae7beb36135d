"""What to try once the suite serves: commands that work as they stand, here and with this configuration."""

from __future__ import annotations

import shlex
from pathlib import Path

from clawdbot.dialogue.v1.flow_service_pb2 import DESCRIPTOR as FLOWS
from clawdbot_servicekit import sockets
from clawdbot_servicekit.settings import SharedSettings
from clawdbot_servicekit.settings.suite import PORTS

from clawdbot_cli.addresses import reachable
from clawdbot_cli.invocation import command_line, shown


def next_steps(settings: SharedSettings, port: int) -> list[tuple[str, str]]:
    """What works here and now, as it stands, and what it does.

    Args:
        settings: how the server listens, and whom it lets in.
        port: where it listens.
    """
    host = reachable(settings.server.host)
    near = sockets.target(host, port)
    chat = ["chat", "--flow", "book_table"]
    if near != sockets.target("127.0.0.1", PORTS["suite"]):
        chat += ["--addr", near]
    if has_keys(settings):
        chat += ["--key-file", "YOUR_KEY_FILE"]
    if settings.tls.cert_file is not None:
        chat += ["--ca-file", "YOUR_CA_FILE"]
    call = grpcurl(settings, near, source_folder("protos"))
    page = source_folder("docs")
    reading = shlex.join(["less", shown(page / "cli.md", Path.cwd())]) if page else command_line("--help")
    return [
        (command_line(*chat), "book a table"),
        *([(call, "what other programs can call")] if call else []),
        (reading, "how to use it"),
    ]


def grpcurl(settings: SharedSettings, address: str, protos: Path | None) -> str:
    """A line for grpcurl; empty where there is none that works.

    Args:
        settings: how the server listens, and whom it lets in.
        address: where it is reached.
        protos: the contracts, for a server that does not describe itself.
    """
    words = ["grpcurl", "-plaintext"]
    if settings.tls.cert_file is not None:
        words[1:] = ["-cacert", "YOUR_CA_FILE"]
    if settings.tls.client_ca_file is not None:
        words += ["-cert", "YOUR_CERT_FILE", "-key", "YOUR_CERT_KEY_FILE"]
    if _describes_itself(settings):
        return shlex.join([*words, address, "list"])
    if protos is None:
        return ""
    if has_keys(settings):
        words += ["-H", "authorization: Bearer YOUR_KEY"]
    words += ["-import-path", shown(protos, Path.cwd()), "-proto", FLOWS.name]
    return shlex.join([*words, address, f"{FLOWS.services_by_name['FlowService'].full_name}/ListFlows"])


def _describes_itself(settings: SharedSettings) -> bool:
    """Whether reflection is on, by the host's rule."""
    server = settings.server
    return sockets.is_loopback(server.host) if server.reflection is None else server.reflection


def has_keys(settings: SharedSettings) -> bool:
    """Whether callers must show a key."""
    return bool(settings.auth.keys) or settings.auth.service_token is not None


def source_folder(name: str) -> Path | None:
    """A folder of the source tree that this runs from; None for an installed wheel."""
    tree = Path(__file__).resolve().parents[3]
    return tree / name if (tree / "protos").is_dir() and (tree / name).is_dir() else None
