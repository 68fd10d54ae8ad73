"""A URL that a stranger names, in the one shape that is fetched from or posted to; and where it may lead.

https://host/path?query     ports 443 and 80, no user and no password; of the query nothing is ever shown
"""

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from typing import Self

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_BYTES = 8192
"""What servers take at most in one line; a signed URL has one to five thousand."""
PORTS = frozenset({80, 443})

_SHAPE = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^\[\]:/?#@%]+)(?::(?P<port>\d{1,5}))?(?P<path>/[^?#]*)?(?:[?#].*)?",
    re.IGNORECASE,
)
_ODD = re.compile(r"[\x00-\x20\x7f\\]|\s")
"""A backslash, too: where some readers of URLs see a path, others see a host."""
_UNICAST = ipaddress.ip_network("2000::/3")
"""All that is given out of IPv6. Outside of it lie loopback, ULA, site-local, multicast, ::/96, NAT64 and mapped IPv4."""
_INSIDE = tuple(
    ipaddress.ip_network(each)
    for each in (
        "168.63.129.16/32",  # Azure's own services for its machines, at a public address
        "192.0.0.0/24",  # some of it counts as global, and Oracle's metadata lie there
        "192.88.99.0/24",  # relays of 6to4
        "2001::/23",  # protocols, Teredo among them
        "2002::/16",  # 6to4: an IPv4 address of any kind in its middle
        "3fff::/20",  # documentation, not yet known to every Python
    )
)
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")
"""Before an IPv4 address of any kind at the end of an IPv6 address."""


class UrlFault(ValueError):
    """This is no URL that is fetched from. The message shows nothing of it: an odd one may hold its secret anywhere."""


@dataclass(frozen=True)
class Reach:
    """Where URLs may lead."""

    http: bool = False
    """Unencrypted, too."""
    ports: frozenset[int] = PORTS
    also: frozenset[Address] = frozenset()
    """Addresses of this machine that may be reached all the same: tests serve from there, and no setting does."""

    def covers(self, address: Address) -> bool:
        """Whether a connection to that address may be made."""
        return address in self.also or is_public(address)


def is_public(address: Address) -> bool:
    """Whether it is everybody's: no private, local, shared, translated, documentation or multicast address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address not in _UNICAST or address.packed[8:12] in _ISATAP:
            return False
    is_shared = address.is_multicast or address.is_reserved
    return address.is_global and not is_shared and not any(address in each for each in _INSIDE)


@dataclass(frozen=True)
class WebUrl:
    """A URL in its right shape."""

    text: str = field(repr=False)
    scheme: str
    host: str
    port: int | None
    path: str

    @classmethod
    def parse(cls, text: str, reach: Reach) -> Self:
        """The URL that `text` spells. No name is resolved.

        Raises:
            UrlFault: it is none, or none that may be reached.
        """
        if len(text.encode(errors="replace")) > MAX_BYTES:
            raise UrlFault(f"is a URL of more than {MAX_BYTES:,} bytes")
        if _ODD.search(text):
            raise UrlFault("is a URL with a blank, a backslash or a control character; percent-encode it")
        shape = _SHAPE.fullmatch(text)
        if shape is None:
            raise UrlFault(_misshapen(text))
        port = int(shape["port"]) if shape["port"] else None
        scheme = shape["scheme"].lower()
        url = cls(scheme + text[len(scheme) :], scheme, shape["host"].strip("[]"), port, shape["path"] or "/")
        url._refuse(reach)
        return url

    @property
    def shown(self) -> str:
        """What people and logs may see of it: what stands behind the question mark is a secret more often than not."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{f':{self.port}' if self.port else ''}{self.path}"

    def _refuse(self, reach: Reach) -> None:
        if self.scheme == "http" and not reach.http:
            raise UrlFault("is an http:// URL; write https://, or set allow_http")
        if self.port is not None and self.port not in reach.ports:
            raise UrlFault(f"is a URL with port {self.port}; only 443 and 80 are reached")
        if not _is_name(self.host):
            raise UrlFault("is a URL whose host cannot be one")
        literal = _literal(self.host)
        if literal and not reach.covers(literal):
            raise UrlFault("is a URL of an address that is not public; inside addresses are never reached")


def shown(uri: str) -> str:
    """An input's address as people and logs may see it: of a URL without its query, anything else as it is."""
    return uri.partition("?")[0].partition("#")[0] if is_web(uri) else uri


def is_web(uri: str) -> bool:
    """Whether it is a URL, and not an address in the store."""
    return uri[:8].lower().startswith(("https://", "http://"))


def _misshapen(text: str) -> str:
    if not is_web(text):
        return "is not an https:// URL"
    authority = re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]
    if "@" in authority:
        return "is a URL with a user or a password; give it out as a signed URL instead"
    return "is not a URL: https://host/path is one" if authority else "is a URL without a host"


def _is_name(host: str) -> bool:
    """Whether a resolver can be asked for it."""
    try:
        return bool(host.strip(".")) and bool(host.encode("idna"))
    except UnicodeError:
        return False


def _literal(host: str) -> Address | None:
    """The address that a host spells, also in the forms that only resolvers still know: 2130706433, 0x7f.1, 017700000001."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, UnicodeError):
        return None
