"""Addresses to listen on, tried before gRPC takes them.

The operating system says why an address cannot be had, gRPC says only that it cannot.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from clawdbot_servicekit.errors import StartupError

_REASONS = {
    errno.EADDRINUSE: "is taken. Stop what uses it, or choose another",
    errno.EACCES: "needs more rights than this process has. Choose one above 1023",
    errno.EADDRNOTAVAIL: "cannot be had: no interface of this machine has that address. Choose another",
}


def target(host: str, port: int) -> str:
    """host:port as gRPC writes it, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    return host in ("localhost", "::1") or host.startswith("127.")


def try_port(host: str, port: int) -> None:
    """Returns when the port can be had; StartupError says why not and what to do."""
    _bound(host, port, shared=False).close()


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds the port for processes that share it, without listening itself.

    Raises:
        StartupError: when another program has the port.
    """
    if port:
        try_port(
            host, port
        )  # bound without sharing first: another supervisor's port could be shared unnoticed
    return _bound(host, port, shared=True)


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise StartupError(f"There is no host {host} to listen on. Try --host 127.0.0.1.") from None
    found = socket.socket(family, kind, protocol)
    try:
        # On Linux this ignores connections that linger after a restart, and no listener.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind(address)
    except OSError as error:
        found.close()
        raise StartupError(taken(host, port, error)) from None
    return found


def taken(host: str, port: int, error: OSError | None = None) -> str:
    """The sentence for a port that cannot be had."""
    number = error.errno if error else errno.EADDRINUSE
    reason = _REASONS.get(number or 0, f"cannot be had ({error}). Choose another")
    other = 9000 if port < 9000 else port + 1
    return f"Port {port} on {host} {reason}: --port {other} or CLAWDBOT_SERVER__PORT={other}."


def clear_socket(path: Path) -> None:
    """Removes a Unix socket that nobody answers on.

    Raises:
        StartupError: when somebody does, when something else is in the way, or when the path cannot be used.
    """
    if len(os.fsencode(path)) > 107:
        raise StartupError(f"The socket's path is longer than the 107 bytes that Linux allows: {path}.")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if path.parent.is_dir():
            return
        raise StartupError(f"There is no folder {path.parent} for the socket {path.name}. Make it.") from None
    except OSError as error:
        raise StartupError(f"Cannot use the socket {path}: {error.strerror}.") from None
    if not stat.S_ISSOCK(mode):
        raise StartupError(f"{path} is in the way: it is not a socket. Choose another server.socket.")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StartupError(f"Cannot use the socket {path}: {error.strerror or error}.") from None
        else:
            raise StartupError(f"Another server listens on {path}. Stop it, or choose another server.socket.")
