"""Addresses that lead into the own network are told from public ones."""

import socket

import pytest

from geodl_lab.addresses import Guard, checked_url, is_public, shown
from geodl_lab.errors import AccessError


def resolver(*addresses):
    """Stands for the resolver of this machine."""
    return lambda host, port, **_: [
        (socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, port))
        for one in addresses
    ]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.8", "198.18.0.1",
        "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1",
        "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1::1",
        "fe80::1", "fe80::1%lo", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_what_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111"])
def test_what_is_public(address):
    assert is_public(address)


def test_one_private_address_among_public_ones_is_enough(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", resolver("93.184.216.34", "127.0.0.1"))
    with pytest.raises(AccessError, match=r"127\.0\.0\.1, which is not public.*--allow-url-host"):
        Guard(()).addresses("innocent.example", 80)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1", "0", "LocalHost"])
def test_loopback_by_any_name_is_refused(host):
    with pytest.raises(AccessError, match="which is not public"):
        Guard(()).addresses(host, 80)


@pytest.mark.parametrize(
    ("allowed", "host", "port", "fine"),
    [
        ("gis.local", "gis.local", 80, True),
        ("GIS.local", "gis.LOCAL", 6443, True),
        ("gis.local:6443", "gis.local", 6443, True),
        ("gis.local:6443", "gis.local", 80, False),
        ("gis.local", "other.local", 80, False),
        ("gis.local", "gis.local.evil", 80, False),
        ("10.0.0.1", "gis.local", 80, False),
        ("[fd00::1]:80", "fd00::1", 80, True),
        ("fd00::1", "fd00::1", 80, True),
    ],
)
def test_exceptions_are_by_the_very_name(monkeypatch, allowed, host, port, fine):
    monkeypatch.setattr(socket, "getaddrinfo", resolver("10.0.0.1"))
    if fine:
        assert Guard((allowed,)).addresses(host, port) == ["10.0.0.1"]
    else:
        with pytest.raises(AccessError, match="is not asked"):
            Guard((allowed,)).addresses(host, port)


def test_ports_of_other_services_are_not_asked(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", resolver("93.184.216.34"))
    with pytest.raises(AccessError, match=r"port 25 of 'a\.example'"):
        Guard(()).addresses("a.example", 25)
    assert Guard(()).addresses("a.example", 6443) == ["93.184.216.34"]


@pytest.mark.parametrize(
    "url",
    [
        "", "a.tif", "/etc/passwd", "file:///etc/passwd", "ftp://a.example/a.tif", "http://",
        "http:///a.tif", "/vsicurl/http://a.example", "gopher://a", "http://[::1", "javascript:1",
        "http://a.example:99999/", "http://a.example/" + "x" * 9000, "http://a\r\nb/", "s3://b/k",
    ],
)  # fmt: skip
def test_what_is_no_address(url):
    with pytest.raises(AccessError, match="not an address that can be fetched"):
        checked_url(url)


def test_names_and_passwords_in_addresses_are_refused_and_not_repeated():
    with pytest.raises(AccessError, match="holds a user name or a password") as caught:
        checked_url("http://me:secret@a.example/")
    assert "secret" not in str(caught.value)


def test_parameters_join_those_that_are_there_and_stay_out_of_messages():
    url = checked_url("http://a.example/x/ImageServer?token=T#top", {"f": "json"})
    assert str(url) == "http://a.example/x/ImageServer?token=T&f=json"
    assert shown(url) == "'http://a.example/x/ImageServer'"
