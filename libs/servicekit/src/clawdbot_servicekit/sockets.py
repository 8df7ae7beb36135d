"""Checks addresses before gRPC listens on them.

The operating system says why an address is not available; gRPC says only that it failed.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from clawdbot_servicekit.errors import StartupError

PORT_PROBLEMS = {
    errno.EADDRINUSE: "is taken. Stop what uses it, or choose another",
    errno.EACCES: "needs privileges that this process does not have. Choose one above 1023",
}
"""What the system says about a port → what is wrong with it."""
_HOST_PROBLEMS = {
    errno.EADDRNOTAVAIL: "no interface of this machine has that address",
    errno.EAFNOSUPPORT: "this machine does not have that kind of address",
    errno.EINVAL: "the address is not complete; one such as fe80::1 needs its interface, as in fe80::1%eth0",
}


def target(host: str, port: int) -> str:
    """host:port in gRPC's notation, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False  # a name: "127.example.com" may be anywhere
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def is_local_peer(peer: str) -> bool:
    """Whether the other end of a connection is on this machine.

    Args:
        peer: in gRPC's notation: "ipv4:127.0.0.1:40000", "ipv6:%5B::1%5D:40000" or "unix:".
    """
    kind, _, address = peer.partition(":")
    if kind in ("ipv4", "ipv6"):
        return is_loopback(unquote(address).rpartition(":")[0].strip("[]"))
    return kind == "unix"


def check_port(host: str, port: int) -> None:
    """Returns if the port is available; StartupError says why not and what to do."""
    with _bind(host, port, shared=False) as bound:
        _reserve(host, bound).close()


@contextmanager
def reserved_port(host: str, port: int) -> Iterator[int]:
    """Reserves a port for processes that share it, without listening; yields its number.

    Raises:
        StartupError: if another program uses the port, or has reserved it.
    """
    if port:
        # Bound without sharing first: otherwise the port of another program could be shared unnoticed.
        check_port(host, port)
    with _bind(host, port, shared=True) as bound, _reserve(host, bound):
        yield int(bound.getsockname()[1])


def _reserve(host: str, bound: socket.socket) -> socket.socket:
    """A socket whose name no other process of this network namespace can have.

    A port that is shared, and where nobody listens yet, can be bound by others: two suites that start at the
    same time would share it.
    """
    address, port = bound.getsockname()[:2]
    reservation = socket.socket(socket.AF_UNIX)
    try:
        reservation.bind(f"\0clawdbot-port-{address}-{port}")
    except OSError as error:
        reservation.close()
        raise StartupError(cannot_listen(host, port, error)) from None
    return reservation


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise StartupError(cannot_listen(host, port, error)) from None
    bound = socket.socket(family, kind, protocol)
    try:
        # On Linux this ignores connections that linger after a restart, but not a listener.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise StartupError(cannot_listen(host, port, error)) from None
    return bound


def cannot_listen(host: str, port: int, error: Exception | None = None) -> str:
    """The error message for a port or a host that is not available.

    Args:
        host: to listen on.
        port: the same.
        error: what the system says; left out: the port is taken.
    """
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"Cannot resolve the host {host}. Try --host 127.0.0.1."
    number = (error.errno or 0) if isinstance(error, OSError) else errno.EADDRINUSE
    if number in PORT_PROBLEMS:
        other = 9000 if port < 9000 else port + 1
        advice = f"--port {other} or CLAWDBOT_SERVER__PORT={other}"
        return f"Port {port} on {host} {PORT_PROBLEMS[number]}: {advice}."
    reason = _HOST_PROBLEMS.get(number, "the system refuses it")
    return f"Cannot listen on {host}: {reason}. Choose another: --host 127.0.0.1."


def remove_stale_socket(path: Path) -> None:
    """Removes a Unix socket that no server listens on.

    Raises:
        StartupError: if a server does, if there is another kind of file, or if the path cannot be used.
    """
    if len(os.fsencode(path)) > 107:
        raise StartupError(f"The path of the socket is longer than the 107 bytes that Linux allows: {path}.")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if path.parent.is_dir():
            return
        raise StartupError(
            f"The folder {path.parent} of the socket {path.name} does not exist. Create it."
        ) from None
    except OSError as error:
        raise StartupError(f"Cannot use the socket {path}: {error.strerror}.") from None
    if not stat.S_ISSOCK(mode):
        raise StartupError(f"{path} exists and is not a socket. Choose another server.socket.")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StartupError(f"Cannot use the socket {path}: {error.strerror or error}.") from None
        else:
            raise StartupError(f"Another server listens on {path}. Stop it, or choose another server.socket.")
