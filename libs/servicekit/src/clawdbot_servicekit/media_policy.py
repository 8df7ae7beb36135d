"""The policy for images, audio and documents in messages, the same for every service.

Backends fetch the URIs that they get, some of them from inside the operator's network. So a URI must have an
allowed scheme and a host that is public as it is written: no private address, and no name that spells one or
is known to have one. Names are not resolved: a name may have a private address, now or when it is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from clawdbot.common.v1.message_pb2 import Document, Media, Part
from pydantic_core import Url

from clawdbot_servicekit.errors import FieldViolation
from clawdbot_servicekit.settings.media import MediaSettings

MAX_URI_LENGTH: Final = 8192
"""Characters of a URI other than data: signed URLs of object stores have up to 2000."""

EXAMPLES: Final = {"image": "image/png", "audio": "audio/wav", "document": "application/pdf"}
"""Kind of part → an example of its media type."""

_RESTRICTED_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
"""Of a type and a subtype: https://www.rfc-editor.org/rfc/rfc6838#section-4.2."""
_PARAMETER_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,127}"
_QUOTED = r'"(?:[\t !#-\[\]-~]|\\[\t -~]){0,200}"'
_PARAMETERS = rf"(?:[ \t]{{0,8}};[ \t]{{0,8}}{_PARAMETER_WORD}=(?:{_PARAMETER_WORD}|{_QUOTED})){{0,8}}"
"""https://www.rfc-editor.org/rfc/rfc9110#section-5.6.6."""
_MEDIA_TYPES: Final = {
    kind: re.compile(rf"{top}/{_RESTRICTED_NAME}{_PARAMETERS}", re.IGNORECASE | re.ASCII)
    for kind, top in (("image", "image"), ("audio", "audio"), ("document", _RESTRICTED_NAME))
}

_URI: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}):(.*)", re.DOTALL)
_URI_CHARACTERS: Final = re.compile(r"[!#-;=?-\[\]_a-z~]*")
"""What https://www.rfc-editor.org/rfc/rfc3986#section-2 has: no space, control character or backslash."""
_AUTHORITY: Final = re.compile(r"//([^/?#]*)")
_BASE64_MARK: Final = ";base64"
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")

WEB_SCHEMES: Final = frozenset({"http", "https", "ws", "wss", "ftp"})
"""Schemes whose host is a host of the network; that of gs: or s3: is the name of a bucket."""

_PRIVATE_NETWORKS: Final = tuple(
    ip_network(each)
    for each in (
        # https://www.iana.org/assignments/iana-ipv4-special-registry
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # the host of a virtual machine in Azure
        # https://www.iana.org/assignments/iana-ipv6-special-registry, inside 2000::/3
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)
_PUBLIC_IPV6: Final = ip_network("2000::/3")
"""All that is assigned for public addresses."""
_PRIVATE_DOMAINS: Final = frozenset(
    {
        # RFC 6761, 6762, 7686 and 8375, ICANN's .internal, and the usual names of private zones.
        *("localhost", "local", "onion", "test", "home.arpa", "internal"),
        *("corp", "home", "intranet", "lan", "localdomain", "private", "svc"),
    }
)
_WILDCARD_DOMAINS: Final = frozenset(
    {
        # Every name in them has the address that it spells, in one of many ways.
        *(
            "nip.io",
            "sslip.io",
            "xip.io",
            "traefik.me",
            "backname.io",
            "local-ip.co",
            "local-ip.sh",
            "rbndr.us",
        ),
        # Every name in them has the address of the machine that asks.
        *("localtest.me", "lvh.me", "vcap.me", "lacolhost.com", "localho.st", "local.gd", "fuf.me"),
    }
)
"""Public domains whose names have addresses that somebody else chooses."""
_SPELLED_IPV4: Final = re.compile(
    r"(?<![0-9])(?=([0-9]{1,3})([.-])([0-9]{1,3})\2([0-9]{1,3})\2([0-9]{1,3})(?![0-9]))", re.ASCII
)
"""10.0.0.7.example.com or ip-10-0-0-7.example.com; there may be several in a name."""
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_MAX_NAME: Final = 253
"""Characters: https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4."""
_ACTIVE_IMAGES: Final = frozenset({"image/svg+xml"})
"""Programs rather than pictures: what draws one may run its scripts and fetch what it names, such as an
address that this policy refuses."""


class MediaPolicy:
    """Finds the media of a message that may not be sent to a model."""

    def __init__(self, settings: MediaSettings | None = None) -> None:
        """Args: settings: omitted: the defaults, which allow only public https: URIs and data: URIs."""
        settings = settings or MediaSettings()
        self._schemes = settings.schemes
        self._max_data = settings.max_data_uri
        self._any_host = "*" in settings.private_hosts
        self._networks = tuple(ip_network(each) for each in settings.private_hosts if _is_network(each))
        self._names = frozenset(each for each in settings.private_hosts if not each.startswith("*"))
        self._domains = tuple(each[1:] for each in settings.private_hosts if each.startswith("*."))

    def violations(self, path: str, part: Part) -> Iterator[FieldViolation]:
        """What is wrong with the media of a part, those of a tool's result included.

        Args:
            path: of the part in the request.
            part: any part.
        """
        kind = part.WhichOneof("content")
        if kind in EXAMPLES:
            yield from self._source(f"{path}.{kind}", kind, getattr(part, kind))
        elif kind == "tool_result":
            for index, content in enumerate(part.tool_result.content):
                yield from self.violations(f"{path}.tool_result.content[{index}]", content)

    def allows(self, part: Part) -> bool:
        """Whether nothing is wrong with it."""
        return next(self.violations("", part), None) is None

    def _source(self, path: str, kind: str, source: Media | Document) -> Iterator[FieldViolation]:
        origin = source.WhichOneof("source")
        if origin is None or not getattr(source, origin):
            yield FieldViolation(path, "needs data or uri.")
        if source.media_type:
            error = _type_error(kind, source.media_type)
            if error:
                yield FieldViolation(f"{path}.media_type", error)
        elif origin == "data":
            yield FieldViolation(f"{path}.media_type", f"is missing (example: {EXAMPLES[kind]}).")
        if origin == "uri" and source.uri:
            error = self._uri_error(kind, source.uri, source.media_type)
            if error:
                yield FieldViolation(f"{path}.uri", error)

    def _uri_error(self, kind: str, uri: str, media_type: str) -> str:
        """What is wrong with a URI; empty if nothing is."""
        match = _URI.fullmatch(uri)
        if match is None:
            return "is not a URI with a scheme (example: https://example.com/menu.png)."
        scheme = match[1].lower()
        if scheme not in self._schemes:
            allowed = " and ".join(f"{each}:" for each in self._schemes) or "no URIs"
            return f"has the scheme {scheme}:, but only {allowed} are allowed here (setting media.schemes)."
        if scheme == "data":
            return self._data_error(kind, match[2], media_type)
        if len(uri) > MAX_URI_LENGTH:
            return f"has {len(uri)} characters; at most {MAX_URI_LENGTH} are allowed."
        if not _URI_CHARACTERS.fullmatch(uri) or "%00" in uri:
            return (
                "contains a character that a URI cannot have, such as a space, a backslash, a control "
                "character or a letter outside ASCII; percent-encode it, and write the host in ASCII (xn--…)."
            )
        return self._authority_error(scheme, match[2])

    def _authority_error(self, scheme: str, rest: str) -> str:
        match = _AUTHORITY.match(rest)
        authority = match[1] if match else ""
        if not authority:
            example = f"{scheme}://example.com/menu.png"
            return f"has no host (example: {example})." if scheme in WEB_SCHEMES else ""
        if "@" in authority:
            return "contains a user name or a password; leave them out."
        if authority.endswith(":"):
            return "has an invalid host or port."
        try:
            # As browsers and HTTP clients read it: 0x7f.1, 2130706433 and %3127.0.0.1 are all 127.0.0.1.
            host = Url(f"https://{authority}/").host or ""
        except ValueError:
            return "has an invalid host or port."
        if self._any_host or self._is_allowed(host, scheme in WEB_SCHEMES):
            return ""
        return "names a host that is not public; the setting media.private_hosts may allow it."

    def _is_allowed(self, host: str, is_web: bool) -> bool:
        address = _address(host)
        if address is not None:
            return _is_public(address) or any(address in each for each in self._networks)
        name = host.removesuffix(".").lower()
        if name in self._names or name.endswith(self._domains):
            return True
        labels = name.split(".")
        domains = {".".join(labels[-count:]) for count in (1, 2)}
        return (
            len(name) <= _MAX_NAME
            and all(_LABEL.fullmatch(each) for each in labels)
            and (len(labels) > 1 or not is_web)
            and domains.isdisjoint(_PRIVATE_DOMAINS)
            and domains.isdisjoint(_WILDCARD_DOMAINS)
            and not any(_spells_private(*each.group(1, 3, 4, 5)) for each in _SPELLED_IPV4.finditer(name))
        )

    def _data_error(self, kind: str, rest: str, media_type: str) -> str:
        """What is wrong with what follows "data:"; see https://www.rfc-editor.org/rfc/rfc2397."""
        head, comma, text = rest.partition(",")
        declared = head[: -len(_BASE64_MARK)]
        if not comma or not text or head[-len(_BASE64_MARK) :].lower() != _BASE64_MARK:
            return f"is not a data: URI with base64 (example: data:{EXAMPLES[kind]};base64,iVBORw0KGgo=)."
        error = _type_error(kind, declared)
        if error:
            return error
        if media_type and _essence(media_type) != _essence(declared):
            return "has another media type than media_type."
        size = len(text) * 3 // 4 - text[-2:].count("=")
        if size > self._max_data:
            return f"contains {size} bytes; at most {self._max_data} are allowed: send them as data."
        if len(text) % 4 or not _BASE64.fullmatch(text):
            return "contains what is not base64 with padding (A-Z, a-z, 0-9, + and /, then =)."
        return ""


def _type_error(kind: str, media_type: str) -> str:
    """What is wrong with a media type; empty if nothing is."""
    if not _MEDIA_TYPES[kind].fullmatch(media_type):
        article = "an" if kind[0] in "ai" else "a"
        return f"is not the media type of {article} {kind} (example: {EXAMPLES[kind]})."
    if kind == "image" and _essence(media_type) in _ACTIVE_IMAGES:
        return "is not allowed: such an image can contain scripts and links; send it as PNG."
    return ""


def _essence(media_type: str) -> str:
    """The type without parameters."""
    return media_type.partition(";")[0].strip().lower()


def _is_network(text: str) -> bool:
    return "/" in text


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a normalized host is; None for a name. IPv4 inside IPv6 counts as IPv4."""
    try:
        address = ip_address(host.strip("[]").removesuffix("."))
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _spells_private(*octets: str) -> bool:
    """Whether four numbers inside a name are an IPv4 address that is not public."""
    numbers = [int(each) for each in octets]
    return max(numbers) <= 255 and not _is_public(IPv4Address(bytes(numbers)))


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if any(address in each for each in _PRIVATE_NETWORKS):
        return False
    return isinstance(address, IPv4Address) or address in _PUBLIC_IPV6
