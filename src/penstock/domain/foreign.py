"""What a product asks of files that a run's caller did not upload: URLs of other servers, and data URIs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.egress import MAX_URL, UrlRefusedError, parse_url
from penstock.domain.errors import ReferenceInvalid
from penstock.domain.media_types import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.domain.egress import EgressRules, WebAddress

DEFAULT_USER_AGENT = "penstock"
MOST_REDIRECTS = 5
_LONGEST_HEAD = 300
"""Characters of a data URI in which its media type ends, if it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchManner:
    """How a file is asked for.

    `asks_first`: a HEAD comes before the GET and has to be answered as well. `told_kinds`: the answer's own type must
    be of one of these kinds (empty: whatever it says, the bytes decide). `needs_size`: an answer that does not announce
    its size is refused.
    """

    user_agent: str = DEFAULT_USER_AGENT
    most_redirects: int = MOST_REDIRECTS
    asks_first: bool = False
    told_kinds: tuple[str, ...] = ()
    needs_size: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlRules:
    """What a product asks of a URL of another server in a file field.

    Lengths in characters. `max_bytes` is the most that a file may have, `max_bytes_by_kind` of files of one kind.
    `tells_kind`: the answer's own type must be of a kind that the field takes. `within`: how long fetching it may take,
    waiting for its turn and vain tries included.
    """

    max_bytes: int
    max_bytes_by_kind: Mapping[str, int] = field(default_factory=dict)
    https_only: bool = True
    names_only: bool = False
    min_length: int = 0
    max_length: int = MAX_URL
    tells_kind: bool = False
    within: timedelta = timedelta(hours=1)
    manner: FetchManner = FetchManner()

    def limit(self, kinds: tuple[str, ...]) -> int:
        """The most bytes of a file that is of one of these kinds (none: of any)."""
        return max((self.max_bytes_by_kind.get(kind, self.max_bytes) for kind in kinds), default=self.max_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineRules:
    """What a product asks of a data URI: how long it may be as a whole, in characters, by the kind that it names.

    `max_bytes` is the most that it may hold; None: as the server has it for everybody.
    """

    max_characters: Mapping[str, int] = field(default_factory=dict)
    max_bytes: int | None = None
    base64_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRules:
    """What a product takes for a file beside what was uploaded; `urls` None: no URL of another server."""

    urls: UrlRules | None = None
    inline: InlineRules = field(default_factory=InlineRules)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedFile:
    """A file of another server that is to be fetched; `kinds` are those that fit (none: any)."""

    place: WebAddress
    kinds: tuple[str, ...]
    rules: UrlRules

    @property
    def max_bytes(self) -> int:
        """The most bytes that are taken."""
        return self.rules.limit(self.kinds)

    @property
    def manner(self) -> FetchManner:
        """How it is asked for."""
        return replace(self.rules.manner, told_kinds=self.kinds) if self.rules.tells_kind else self.rules.manner


def check_length(text: str, rules: InlineRules) -> None:
    """Hold a data URI to the rules. A kind of which nothing is said may be as long as the longest.

    Raises `ReferenceInvalid`: rule `data_uri_length`, or `data_uri` when it is not base64 and must be.
    """
    head = text[:_LONGEST_HEAD].partition(",")[0]
    if rules.base64_only and not head.lower().endswith(";base64"):
        raise ReferenceInvalid((), "the data URI must be base64", rule="data_uri")
    if not rules.max_characters:
        return
    kind = kind_of(head[len("data:") :]).value
    limit = rules.max_characters.get(kind, max(rules.max_characters.values()))
    if len(text) > limit:
        raise ReferenceInvalid((), f"a data URI has at most {limit} characters here", rule="data_uri_length")


def wanted_file(text: str, rules: UrlRules | None, egress: EgressRules, *, kinds: tuple[str, ...]) -> WantedFile:
    """The file that a URL of another server names. Raises `ReferenceInvalid`, with the rule that it breaks.

    The rules are `url_refused` (none is taken), `url_length`, `url_scheme`, `url_host` and `url_invalid`.
    """
    if rules is None:
        message = "is a URL of another server; import it, or upload the file, and name it by its id or URL"
        raise ReferenceInvalid((), message, rule="url_refused")
    if not rules.min_length <= len(text) <= rules.max_length:
        message = f"a URL has {rules.min_length} to {rules.max_length} characters here"
        raise ReferenceInvalid((), message, rule="url_length")
    if rules.https_only and text[:6].lower() != "https:":
        raise ReferenceInvalid((), "only https:// URLs are fetched", rule="url_scheme")
    try:
        place = parse_url(text)
    except UrlRefusedError as error:
        raise ReferenceInvalid((), str(error), rule="url_invalid") from error
    if rules.names_only and place.address is not None:
        raise ReferenceInvalid((), "the URL's host must be a name, not an address", rule="url_host")
    if egress.refuses_at_sight(place):
        raise ReferenceInvalid(
            (), "its address or port is not one that is fetched from, unless the operator allows it", rule="url_host"
        )
    return WantedFile(place=place, kinds=kinds, rules=rules)
