"""Reading a URL once and strictly (S1), which addresses are public (S2), and what an operator allows beside (S6)."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.egress import (
    EgressRules,
    RulesError,
    UrlRefusedError,
    is_public,
    parse_rules,
    parse_url,
    redirected,
)

PUBLIC = ipaddress.ip_address("93.184.215.14")
LOOPBACK = ipaddress.ip_address("127.0.0.1")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://a.example", "http://a.example/"),
        ("HTTPS://EXAMPLE.com:443/A?b=C#d", "https://example.com/A?b=C"),
        ("https://example.com:8443/x", "https://example.com:8443/x"),
        ("http://example.com?q", "http://example.com/?q"),
        ("http://my_bucket.example/x", "http://my_bucket.example/x"),
        ("http://93.184.215.14/", "http://93.184.215.14/"),
        ("http://[2606:4700:0:0::1111]:80/", "http://[2606:4700::1111]/"),
        ("http://bücher.example/ü?q=ä b".replace(" ", "%20"), "http://xn--bcher-kva.example/%C3%BC?q=%C3%A4%20b"),
        ('http://a.example/<"{|}>', "http://a.example/%3C%22%7B%7C%7D%3E"),
        ("http://a.example/?to=http://[b]/", "http://a.example/?to=http://[b]/"),
        ("http://1e100.example/", "http://1e100.example/"),
    ],
)
def test_a_url_is_read_into_the_parts_that_are_connected_with(text: str, url: str) -> None:
    assert parse_url(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        *("ftp://a.example/", "file:///etc/passwd", "//a.example/", "a.example", "http:/a.example", "http:a.example"),
        *("http://user@a.example/", "http://user:word@a.example/", "http://a.example@127.0.0.1/", "http://@a.example/"),
        *("http://127.0.0.1\\@good.example/", "http://good.example\\.evil.example/", "http:\\\\a.example/"),
        *("http://a.example/a b", "http://a.example/\tb", "http://a.example/\n", " http://a.example/", "http://a\0.b/"),
        *("http://a.example/\x7f", "http://a.example/\x85", "http://a.example/\u00a0", "http://a.example/\u2028"),
        *("http://0x7f.1/", "http://0177.1/", "http://2130706433/", "http://127.1/", "http://0x7f000001/"),
        *("http://127.0.0.01/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://1.2.3.4.5/", "http://256.1.1.1/"),
        *("http://1.2.3.0x4/", "http://a.example.1/", "http://127.0.0.1./", "http://0x/", "http://999999999999/"),
        *(
            "http://\uff11\uff12\uff17.0.0.1/",
            "http://127\u30020\u30020\u30021/",
            "http://127\uff0e0\uff0e0\uff0e1/",
            "http://127\uff610\uff610\uff611/",
            "http://\u2460\u2461\u2466.0.0.1/",
        ),
        *("http://faß.example/", "http://ΒΌΛΟΣ.example/", "http://βόλος.example/", "http://a\u00adb.example/"),
        *("http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::1/", "http://::1/", "http://[1.2.3.4]/"),
        *("http://[v1.a]/", "http://[]/", "http://a.example:/", "http://a.example:80:80/", "http://a.example:http/"),
        *("http://a.example:+80/", "http://a.example:0/", "http://a.example:65536/", "http://a.example:٨٠/"),
        *("http:///x", "http://", "http://?x", "http://.example/", "http://a..example/", "http://a.example./"),
        *(
            "http://-a.example/",
            "http://a-.example/",
            "http://a,b.example/",
            "http://a%2eexample/",
            "http://*.example/",
        ),
        *(f"http://{'a' * 64}.example/", f"http://{'a.' * 127}example/", "http://a.example/" + "x" * 2048),
        *("http://a.example/" + "\u00e9" * 400, "http://a.example?" + "x" * 2031),
        *("http://a.example/\ud800", "http://\ud800.example/", f"http://a.example/{'☃' * 1900}"),
    ],
)
def test_what_two_readers_might_understand_differently_is_refused(text: str) -> None:
    with pytest.raises(UrlRefusedError):
        parse_url(text)


@given(st.text(st.characters() | st.sampled_from("a1x0.:@/\\[]%?#-\u3002é"), max_size=60))
def test_whatever_is_accepted_reads_the_same_again_and_to_another_reader(tail: str) -> None:
    try:
        place = parse_url(f"http://{tail}")
    except UrlRefusedError:
        return

    assert parse_url(place.url) == place
    assert place.url.isascii()
    assert urlsplit(place.url).hostname == place.host


@given(st.ip_addresses(v=6) | st.ip_addresses(v=4))
def test_an_address_as_a_host_is_known_to_be_one(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)

    assert parse_url(f"http://{host}/").address == address


def test_what_is_shown_of_a_url_is_without_its_query() -> None:
    assert parse_url("https://a.example/x.png?signature=1").shown == "https://a.example/x.png"


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.1", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.1", "168.63.129.16"),
        *("169.254.169.254", "172.16.0.1", "192.0.0.192", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
        *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "233.252.0.1", "239.1.1.1", "240.0.0.1"),
        *("255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378::1"),
        *("2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "4000::1", "5f00::1", "8000::1"),
        *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1111%eth0", "fec0::1", "ff02::1"),
    ],
)
def test_an_address_of_no_public_network_is_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "168.63.129.17"],
)
def test_an_address_of_the_public_internet_is_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
def test_an_address_wrapped_in_ipv6_is_never_more_public_than_itself(address: ipaddress.IPv4Address) -> None:
    number = int(address)

    assert is_public(ipaddress.IPv6Address((0xFFFF << 32) + number)) == is_public(address)
    for prefix in (0, 0xFFFF << 48, 0x64FF9B << 96, 0x2002 << 112 | number << 80):
        assert not is_public(ipaddress.IPv6Address(prefix | number))


@given(st.ip_addresses())
def test_no_address_that_the_standard_library_calls_private_is_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if address.is_private or address.is_multicast or address.is_reserved or address.is_link_local:
        assert not is_public(address) or getattr(address, "ipv4_mapped", None)


def test_one_forbidden_address_among_several_forbids_the_host() -> None:
    place = parse_url("http://a.example/")

    assert EgressRules().permit(place, [PUBLIC])
    assert not EgressRules().permit(place, [PUBLIC, LOOPBACK])
    assert not EgressRules().permit(place, [])


def test_only_the_two_usual_ports_of_public_hosts_are_connected_to() -> None:
    assert EgressRules().permit(parse_url("http://a.example:443/"), [PUBLIC])
    assert not EgressRules().permit(parse_url("http://a.example:8080/"), [PUBLIC])
    assert not EgressRules().permit(parse_url("http://a.example:22/"), [PUBLIC])


@pytest.mark.parametrize(
    ("text", "address"), [("127.0.0.0/8", "127.1.2.3"), ("10.0.0.7", "10.0.0.7"), ("fd00::/8", "fd00::1")]
)
def test_an_allowed_network_is_reached_on_every_port(text: str, address: str) -> None:
    rules = parse_rules(text)

    assert rules.permit(parse_url("http://a.example:8080/"), [ipaddress.ip_address(address)])
    assert not rules.permit(parse_url("http://a.example/"), [ipaddress.ip_address("192.168.0.1")])
    assert not rules.permit(parse_url("http://a.example:8080/"), [PUBLIC])


def test_an_allowed_network_holds_its_addresses_wrapped_in_ipv6() -> None:
    assert parse_rules("127.0.0.0/8").permit(parse_url("http://a.example/"), [ipaddress.ip_address("::ffff:127.0.0.1")])


def test_an_allowed_host_is_reached_on_its_port_alone_whatever_address_it_has() -> None:
    rules = parse_rules("Files.example:9000, [::1]:90, 10.0.0.1:81")

    assert rules.permit(parse_url("http://files.example:9000/"), [LOOPBACK])
    assert not rules.permit(parse_url("http://files.example/"), [LOOPBACK])
    assert not rules.permit(parse_url("http://other.example:9000/"), [LOOPBACK])
    assert rules.permit(parse_url("http://[::1]:90/"), [ipaddress.ip_address("::1")])
    assert rules.permit(parse_url("http://10.0.0.1:81/"), [ipaddress.ip_address("10.0.0.1")])


@pytest.mark.parametrize(
    "text", ["10.0.0.1/8", "everything", "a.example", "a.example:", "http://a.example:80", "a.example:80/x", "u@h:1"]
)
def test_an_allow_list_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(RulesError):
        parse_rules(text)


def test_an_allow_list_reads_back_as_it_is_written_out() -> None:
    rules = parse_rules("127.0.0.0/8, ::1/128, files.example:9000, [::1]:90, 10.0.0.1")

    assert str(rules) == "127.0.0.0/8, ::1/128, 10.0.0.1/32, [::1]:90, files.example:9000"
    assert parse_rules(str(rules)) == rules
    assert parse_rules("") == EgressRules()


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("http://127.0.0.1/", True),
        ("http://[::1]/", True),
        ("http://169.254.169.254/latest/meta-data/", True),
        ("http://93.184.215.14/", False),
        ("http://93.184.215.14:22/", True),
        ("http://a.example:22/", True),
        ("http://localhost/", False),
    ],
)
def test_what_no_answer_of_a_name_server_can_permit_is_known_at_sight(url: str, refused: bool) -> None:
    assert EgressRules().refuses_at_sight(parse_url(url)) is refused


def test_with_an_allow_list_a_name_may_turn_out_to_be_in_it() -> None:
    assert not parse_rules("10.0.0.0/8").refuses_at_sight(parse_url("http://a.example:8080/"))
    assert not parse_rules("a.example:22").refuses_at_sight(parse_url("http://a.example:22/"))
    assert parse_rules("a.example:22").refuses_at_sight(parse_url("http://b.example:22/"))


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/y?z", "https://a.example/y?z"),
        ("y", "https://a.example/d/y"),
        ("?q", "https://a.example/d/x?q"),
        ("//b.example/y", "https://b.example/y"),
        ("https://b.example:444/", "https://b.example:444/"),
    ],
)
def test_a_redirect_leads_where_it_says(location: str, url: str) -> None:
    assert redirected(parse_url("https://a.example/d/x?old"), location).url == url


@pytest.mark.parametrize(
    "location",
    [
        "http://a.example/",
        "ftp://b.example/",
        "//u@b.example/",
        "/\\b.example/",
        "https://127.1/",
        "javascript:1",
        "/\t",
        "ftp://[",
        "x://[::1",
        "x://\u2100/",
    ],
)
def test_a_redirect_to_what_would_be_refused_is_refused(location: str) -> None:
    with pytest.raises(UrlRefusedError):
        redirected(parse_url("https://a.example/d/x"), location)


def test_a_redirect_may_lead_from_http_to_https() -> None:
    assert redirected(parse_url("http://a.example/"), "https://a.example/").scheme == "https"
