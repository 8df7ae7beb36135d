"""The settings of the policy for images, audio and documents in messages; the policy is in media_policy."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from clawdbot_servicekit.settings.values import Bytes, Section

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
_HOST_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63}){0,31}")


def _scheme(text: str) -> str:
    scheme = text.lower()
    if not _SCHEME.fullmatch(scheme):
        raise ValueError("expected the name of a URI scheme without a colon, such as https or gs")
    return scheme


def _private_host(text: str) -> str:
    host = text.lower()
    try:
        return str(ipaddress.ip_network(host))
    except ValueError:
        last = host.rpartition(".")[2]
        if host == "*" or (_HOST_NAME.fullmatch(host) and not last.isdecimal()):
            return host
    raise ValueError(
        "expected a host name, an address or a network, such as files.internal, *.example.internal, "
        "10.0.0.7 or 10.1.0.0/16; or * for every host"
    )


class MediaSettings(Section):
    """Which media may be sent to models. URIs are passed on to backends, and most backends fetch them."""

    schemes: tuple[Annotated[str, AfterValidator(_scheme)], ...] = ("https", "data")
    """Schemes of URIs; empty: no URIs at all."""
    private_hosts: tuple[Annotated[str, AfterValidator(_private_host)], ...] = ()
    """Hosts that URIs may name although they are not public: names, `*.` and a domain, addresses, networks;
    `*` allows every host."""
    max_data_uri: Annotated[Bytes, Field(ge=1)] = 2 * 1024 * 1024
    """Size of what one data: URI contains."""
