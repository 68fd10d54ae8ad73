"""Where Redis is, in every form that an address of it may have; the queue and the ledger read the same one.

redis://:password@host:6379/0
redis://user:password@host:6379/0                                   a user of the server's ACL
rediss://:password@host:6380/0?ssl_ca_certs=/etc/redis-ca.pem       TLS
sentinel://:password@host:26379;sentinel://host2:26379/0?master=name    whoever the Sentinels call master
"""

from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

PORT = 6379
SENTINEL_PORT = 26379
_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_OPTIONS = {
    "redis": (),
    "rediss": _TLS,
    "sentinel": ("master", "sentinel_username", "sentinel_password"),
}
_CERT_REQS = ("required", "optional", "none")


class AddressFault(ValueError):
    """This is no address of Redis."""


@dataclass(frozen=True)
class RedisAddress:
    """An address of Redis, taken apart."""

    hosts: tuple[tuple[str, int], ...]
    """Host and port of the server; of the Sentinels where `master` is set."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    tls: dict[str, Any] | None = None
    """How to trust the server, in the words that redis-py and kombu share; None: not TLS."""
    master: str | None = None
    """The name that the Sentinels know the server by."""
    sentinel_login: dict[str, str] = field(default_factory=dict, repr=False)
    """`username` and `password` of the Sentinels themselves, where they have any."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address that `text` spells.

        Raises:
            AddressFault: it is none. No part of it is shown: an odd character may have put the password anywhere.
        """
        try:
            return cls._parsed(text)
        except AddressFault:
            raise
        except ValueError:  # urllib's own sentences quote what they stumble over
            raise AddressFault("not an address of Redis") from None

    @classmethod
    def _parsed(cls, text: str) -> Self:
        parts = [urlsplit(each) for each in text.split(";")]
        last = parts[-1]
        _refuse_mixture(parts)
        options = _options(last)
        login = next((each for each in parts if each.password or each.username), last)
        return cls(
            hosts=tuple(_host(each) for each in parts),
            username=unquote(login.username) if login.username else None,
            password=unquote(login.password) if login.password else None,
            db=_db(last.path),
            tls=_tls(options) if last.scheme == "rediss" else None,
            master=options.get("master"),
            sentinel_login={
                name: options[f"sentinel_{name}"]
                for name in ("username", "password")
                if f"sentinel_{name}" in options
            },
        )

    @property
    def broker_url(self) -> str:
        """The address in kombu's form: every host with the login and the database, and no options."""
        scheme = "sentinel" if self.master else "rediss" if self.tls else "redis"
        name = quote(self.username or "", safe="")
        login = f"{name}:{quote(self.password, safe='')}@" if self.password else f"{name}@" if name else ""
        return ";".join(f"{scheme}://{login}{_bracketed(host)}:{port}/{self.db}" for host, port in self.hosts)


def _refuse_mixture(parts: list[SplitResult]) -> None:
    schemes = {each.scheme for each in parts}
    if len(schemes) != 1 or not schemes <= _OPTIONS.keys() or not all(each.hostname for each in parts):
        raise AddressFault("not an address of Redis")
    if len(parts) > 1 and schemes != {"sentinel"}:
        raise AddressFault("several servers without Sentinels")
    if any(each.query or each.path.strip("/") for each in parts[:-1]):
        raise AddressFault("database and options stand behind the last of several")


def _options(last: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(last.query, keep_blank_values=True, strict_parsing=bool(last.query)))
    if options.keys() - set(_OPTIONS[last.scheme]) or not all(options.values()):
        raise AddressFault("an option that this kind of address does not have")
    if last.scheme == "sentinel" and "master" not in options:
        raise AddressFault("Sentinels are asked for a master by its name: ?master=name")
    return options


def _host(part: SplitResult) -> tuple[str, int]:
    port = part.port if part.port is not None else SENTINEL_PORT if part.scheme == "sentinel" else PORT
    if port == 0 or part.hostname is None:
        raise AddressFault("not a port")
    return unquote(part.hostname), port


def _db(path: str) -> int:
    number = path.removeprefix("/") or "0"
    if not number.isascii() or not number.isdigit():
        raise AddressFault("the database is a number")
    return int(number)


def _tls(options: dict[str, str]) -> dict[str, Any]:
    """Strict unless told otherwise: kombu alone would not look at the certificate at all."""
    tls: dict[str, Any] = {"ssl_cert_reqs": "required", **options}
    if tls["ssl_cert_reqs"] not in _CERT_REQS:
        raise AddressFault("ssl_cert_reqs is required, optional or none")
    shown = options.get("ssl_check_hostname", str(tls["ssl_cert_reqs"] != "none")).lower()
    if shown not in ("true", "false"):
        raise AddressFault("ssl_check_hostname is true or false")
    return tls | {"ssl_check_hostname": shown == "true"}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
