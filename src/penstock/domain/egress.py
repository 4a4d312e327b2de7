"""Where this server may go for a user: how a URL is read, once and strictly (S1), and which addresses are allowed (S2).

Whoever connects takes the parts read here, never the text again, for two readers of one URL may find two hosts in it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from encodings.idna import ToASCII, nameprep
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL = 2048
"""Characters of a URL."""
USUAL_PORTS = frozenset({80, 443})

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_NAME = 253
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_UNFIT = re.compile(r"[\x00-\x20\x7f-\x9f\\\s]")
"""Control characters, white space and the backslash, which some readers take for a slash."""
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""What makes a last label that of an IPv4 address, however it is written (WHATWG URL, "ends in a number")."""
_DOTTED = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_OTHER_DOTS = re.compile("[\u3002\uff0e\uff61]")
_HARMLESS = "!#$%&'()*+,-./:;=?@[]_~"

_PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
_DENIED = tuple(
    ipaddress.ip_network(network)
    for network in (
        # IPv4: everything the registry of special purposes holds (RFC 6890), multicast, and one provider's own service.
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        # IPv6: the same, and whatever carries an IPv4 address inside (translated, 6to4, Teredo, compatible).
        *("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32"),
        *("2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)


class UrlRefusedError(ValueError):
    """A URL that is never fetched; the message says why and is fit for whoever gave it."""


class RulesError(ValueError):
    """An operator's allow-list that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebAddress:
    """A URL in the parts that are connected with.

    `host` is lower-case ASCII, an IPv6 address without brackets; `address` is set when it is one and no name. `target`
    is the path with the query, as it is sent.
    """

    scheme: str
    host: str
    port: int
    target: str
    address: Address | None

    @property
    def authority(self) -> str:
        """Host and port as the `Host` header has them (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL. Its query may be somebody's secret: for nobody but the server it names."""
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def shown(self) -> str:
        """The URL without its query, for whoever gave it."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def path(self) -> str:
        """The path alone."""
        return self.target.partition("?")[0]


def parse_url(text: str) -> WebAddress:
    """Read a URL. Raises `UrlRefusedError` for all that two readers might understand differently (S1)."""
    if len(text) > MAX_URL:
        raise UrlRefusedError(f"the URL is longer than {MAX_URL} characters")
    if _UNFIT.search(text):
        raise UrlRefusedError("the URL contains white space, control characters or a backslash")
    found = _URL.fullmatch(text)
    if found is None:
        raise UrlRefusedError("only http:// and https:// URLs are fetched")
    scheme = found[1].lower()
    if "@" in found[2]:
        raise UrlRefusedError("the URL holds a user name or password")
    authority = _AUTHORITY.fullmatch(found[2])
    if authority is None:
        raise UrlRefusedError("the URL's host or port cannot be read")
    host, address = _host(authority[1])
    port = int(authority[2]) if authority[2] else _DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65535:  # noqa: PLR2004 - 16 bits
        raise UrlRefusedError("the URL's port is none")
    target = _as_sent(found[3] or "/") + _as_sent(found[4] or "")
    place = WebAddress(scheme=scheme, host=host, port=port, target=target, address=address)
    if len(place.url) > MAX_URL:  # as it is sent, so that it can be read again
        raise UrlRefusedError(f"the URL is longer than {MAX_URL} characters")
    return place


def shown_url(text: str) -> str:
    """A URL without its query, for whoever gave it: presigned ones carry their permission there."""
    return parse_url(text).shown


def redirected(start: WebAddress, location: str) -> WebAddress:
    """Where a redirect leads. Raises `UrlRefusedError` as `parse_url`, and when it leads from https to http (S4)."""
    if _UNFIT.search(location):
        raise UrlRefusedError("the URL contains white space, control characters or a backslash")
    if location.startswith("//"):
        location = f"{start.scheme}:{location}"
    if not _URL.fullmatch(location):
        try:
            location = urljoin(start.url, location)
        except ValueError:  # of another scheme, with a host that nobody can read
            raise UrlRefusedError("the URL cannot be read") from None
    there = parse_url(location)
    if start.scheme == "https" and there.scheme == "http":
        raise UrlRefusedError("it leads from https to http")
    return there


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, by our own list: the standard library's has gaps (S2)."""
    plain = _unmapped(address)
    if isinstance(plain, ipaddress.IPv6Address) and (plain.scope_id is not None or plain not in _PUBLIC_IPV6):
        return False
    return plain.is_global and not plain.is_multicast and not any(plain in network for network in _DENIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRules:
    """What an operator allows beyond the public internet and its two usual ports: networks, hosts with a port (S6)."""

    networks: tuple[Network, ...] = ()
    places: frozenset[tuple[str, int]] = frozenset()

    def permit(self, place: WebAddress, addresses: Iterable[Address]) -> bool:
        """Whether the host, having these addresses, may be connected to: every single one is allowed (S2)."""
        found = tuple(addresses)
        return bool(found) and all(self.permits(place, address) for address in found)

    def permits(self, place: WebAddress, address: Address) -> bool:
        """Whether the host may be connected to at this address."""
        if (place.host, place.port) in self.places:
            return True
        plain = _unmapped(address)
        if any(plain in network for network in self.networks):
            return True
        return place.port in USUAL_PORTS and is_public(plain)

    def refuses_at_sight(self, place: WebAddress) -> bool:
        """Whether no name server's answer can make the place a permitted one."""
        if place.address is not None:
            return not self.permits(place, place.address)
        named = (place.host, place.port) in self.places
        return place.port not in USUAL_PORTS and not self.networks and not named

    def __str__(self) -> str:
        places = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in sorted(self.places))
        return ", ".join((*map(str, self.networks), *places))


def parse_rules(text: str) -> EgressRules:
    """An operator's comma-separated list of `NETWORK/BITS`, addresses and `HOST:PORT`. Raises `RulesError`."""
    networks: list[Network] = []
    places: set[tuple[str, int]] = set()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError:
            places.add(_place(entry))
    return EgressRules(networks=tuple(networks), places=frozenset(places))


def _place(entry: str) -> tuple[str, int]:
    try:
        place = parse_url(f"http://{entry}")
    except UrlRefusedError as error:
        raise RulesError(f"{entry!r} is neither a network (10.0.0.0/8) nor a host with a port (host:8080)") from error
    if place.target != "/" or not re.search(r":[0-9]+\Z", entry):
        raise RulesError(f"{entry!r} is neither a network (10.0.0.0/8) nor a host with a port (host:8080)")
    return place.host, place.port


def _unmapped(address: Address) -> Address:
    """The IPv4 address inside `::ffff:0:0/96`, or the address itself."""
    return getattr(address, "ipv4_mapped", None) or address


def _host(text: str) -> tuple[str, Address | None]:
    """A host in one spelling, and the address that it is, if it is one."""
    if text.startswith("["):
        return _ipv6(text[1:-1])
    name = _ascii_name(text)
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        if not _DOTTED.fullmatch(name):
            raise UrlRefusedError("the URL's host is an unusual spelling of an IPv4 address")
        try:
            return name, ipaddress.IPv4Address(name)
        except ValueError:
            raise UrlRefusedError("the URL's host is not an IPv4 address") from None
    if len(name) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise UrlRefusedError("the URL's host is not a name")
    return name, None


def _ipv6(text: str) -> tuple[str, Address]:
    if "%" in text:
        raise UrlRefusedError("the URL's host is an IPv6 address with a zone")
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise UrlRefusedError("the URL's host is not an IPv6 address") from None
    return str(address), address


def _ascii_name(text: str) -> str:
    """A name as the name system has it (RFC 3490).

    A name that is only equal to another after mapping (`ß`, full-width digits, other dots, capital letters outside
    ASCII) is refused: the two generations of IDNA map them to different hosts.
    """
    if text.isascii():
        return text.lower()
    lowered = "".join(c.lower() if c.isascii() else c for c in text)
    if len(text) > _LONGEST_NAME or _OTHER_DOTS.search(text):
        raise UrlRefusedError("the URL's host is not a name")
    try:
        labels = [(label, nameprep(label), ToASCII(label)) for label in lowered.split(".")]
    except UnicodeError:
        raise UrlRefusedError("the URL's host is not a name") from None
    if any(label != mapped for label, mapped, _ in labels):
        raise UrlRefusedError("the URL's host has characters that stand for others; write it as xn--…")
    return ".".join(encoded.decode("ascii") for _, _, encoded in labels)


def _as_sent(text: str) -> str:
    """Path or query with everything that cannot stand in a request line percent-encoded as UTF-8 (RFC 3986 §2)."""
    try:
        return quote(text, safe=_HARMLESS)
    except UnicodeEncodeError:
        raise UrlRefusedError("the URL contains half a character") from None
