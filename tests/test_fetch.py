"""Downloads are complete, within their limits, and from hosts that may be asked."""

import gzip
import socket
import ssl
import time

import pytest
import trustme

from geodl_lab import addresses, fetch
from geodl_lab.errors import AccessError, CancelledError, OutputError
from geodl_lab.fetch import Fetcher

MANY = 2**20


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Nothing is asked again, but where a test says so."""
    monkeypatch.setattr(fetch, "PAUSES", ())


@pytest.fixture
def fetcher(web):
    return Fetcher((web.host,))


def redirect(place):
    return lambda request: request.answer(b"", status=302, Location=place)


def test_a_file_arrives_as_it_is(web, fetcher, tmp_path):
    body = bytes(range(256)) * 5000
    web.pages["/a.tif"] = body
    path = fetcher.download(f"{web.url}/a.tif", tmp_path / "a.tif", most_bytes=len(body))
    assert path.read_bytes() == body
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_get_and_post_say_their_parameters(web, fetcher):
    web.pages["/q"] = lambda request: request.answer(f"{request.path} {request.form}".encode())
    assert fetcher.get(f"{web.url}/q?token=T", {"f": "json"}) == b"/q?token=T&f=json "
    assert fetcher.post(f"{web.url}/q", {"a": "1 2", "b": "ü"}) == b"/q a=1+2&b=%C3%BC"


def test_without_an_exception_loopback_is_refused(web):
    with pytest.raises(AccessError, match=r"address 127\.0\.0\.1, which is not public"):
        Fetcher().get(web.url)
    assert web.asked == []


def test_the_connection_goes_to_the_address_that_was_checked(web, fetcher, monkeypatch):
    """A name that is public when asked first and private after: it is asked once only."""
    asked = []

    def rebinding(host, port, **_):
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, 1, 6, "", (address, port))]

    def connect(self, address, *args, **kwargs):
        asked.append(address)
        raise addresses.httpcore.ConnectError("no way out of here")

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(addresses.httpcore.SyncBackend, "connect_tcp", connect)
    with pytest.raises(AccessError, match="no way out of here"):
        fetcher.get("http://rebind.example/")
    assert asked == ["rebind.example", "93.184.216.34"]


def test_the_host_header_is_the_name_and_the_next_address_is_tried(web, monkeypatch):
    """::1 has no server: the second address of the name is used, under the name."""
    found = [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")]
    real = socket.getaddrinfo

    def resolve(host, port, *args, **kwargs):
        if host != "gis.local":
            return real(host, port, *args, **kwargs)
        return [(kind, 1, 6, "", (address, port)) for kind, address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    web.pages["/"] = lambda request: request.answer(request.headers["Host"].encode())
    name = f"gis.local:{web.server_port}"
    assert Fetcher(("gis.local",)).get(f"http://{name}/") == name.encode()


def test_redirects_are_followed_and_relative_ones_too(web, fetcher):
    web.pages |= {"/a": redirect("/b?x=1"), "/b": redirect(f"{web.url}/c"), "/c": b"there"}
    assert fetcher.get(f"{web.url}/a") == b"there"
    assert web.asked == ["/a", "/b?x=1", "/c"]


@pytest.mark.parametrize(
    ("place", "match"),
    [
        ("http://169.254.169.254/latest/meta-data", r"169\.254\.169\.254, which is not public"),
        ("http://localhost:1/", "which is not public"),
        ("file:///etc/passwd", "not an address that can be fetched"),
        ("http://me:pw@a.example/", "holds a user name"),
        ("", "redirects more than 5 times"),
        ("http://a.example:99999/", "not an address that can be fetched"),
    ],
)
def test_a_redirect_is_checked_like_the_first_address(web, fetcher, place, match):
    web.pages["/a"] = redirect(place)
    with pytest.raises(AccessError, match=match):
        fetcher.get(f"{web.url}/a")


def test_what_is_posted_is_not_sent_elsewhere(web, fetcher):
    web.pages["/a"] = redirect("/b")
    with pytest.raises(AccessError, match="redirects what is posted"):
        fetcher.post(f"{web.url}/a", {"token": "T"})
    assert web.asked == ["/a"]


def test_an_announced_size_is_refused_before_it_comes(web, fetcher, tmp_path):
    web.pages["/a"] = bytes(MANY)
    with pytest.raises(AccessError, match="answers more than 1000 bytes"):
        fetcher.download(f"{web.url}/a", tmp_path / "a", most_bytes=1000)
    assert not list(tmp_path.iterdir())


def endless(request):
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(bytes(2**16))


def test_an_endless_answer_ends_at_the_limit(web, fetcher, tmp_path):
    web.pages["/a"] = endless
    with pytest.raises(AccessError, match=f"answers more than {MANY} bytes"):
        fetcher.download(f"{web.url}/a", tmp_path / "a", most_bytes=MANY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("more", [1, -1])
def test_a_size_that_lies(web, fetcher, tmp_path, more):
    """Shorter than said is an error; what comes after the end is never read."""
    web.pages["/a"] = lambda request: request.answer(b"x" * 100, Content_Length=100 + more)
    if more > 0:
        with pytest.raises(AccessError, match="cannot be fetched"):
            fetcher.download(f"{web.url}/a", tmp_path / "a", most_bytes=MANY)
        assert not list(tmp_path.iterdir())
    else:
        assert fetcher.get(f"{web.url}/a") == b"x" * 99


def test_what_is_packed_is_counted_unpacked(web, fetcher):
    packed = gzip.compress(bytes(50 * MANY))
    assert len(packed) < MANY
    web.pages["/a"] = lambda request: request.answer(packed, Content_Encoding="gzip")
    with pytest.raises(AccessError, match=f"answers more than {MANY} bytes"):
        fetcher.get(f"{web.url}/a", most_bytes=MANY)
    web.pages["/b"] = lambda request: request.answer(
        gzip.compress(b"fine"), Content_Encoding="gzip"
    )
    assert fetcher.get(f"{web.url}/b") == b"fine"


@pytest.mark.parametrize("packed", ["gzip, gzip", "br", "zstd", "deflate,gzip"])
def test_what_is_packed_twice_or_otherwise_is_refused(web, fetcher, packed):
    web.pages["/a"] = lambda request: request.answer(b"x", Content_Encoding=packed)
    with pytest.raises(AccessError, match="only gzip and deflate"):
        fetcher.get(f"{web.url}/a")


def test_damaged_packing_is_an_error(web, fetcher):
    web.pages["/a"] = lambda request: request.answer(b"no gzip", Content_Encoding="gzip")
    with pytest.raises(AccessError, match="cannot be fetched"):
        fetcher.get(f"{web.url}/a")


def dripping(request):
    """A byte of a header now and then, each well before the read timeout."""
    while True:
        request.wfile.write(b"H" if request.server.asked else b"")
        time.sleep(0.02)


def dripping_body(request):
    request.send_response(200)
    request.end_headers()
    dripping(request)


@pytest.mark.parametrize("page", [dripping, dripping_body])
def test_drops_do_not_prolong_the_time(web, fetcher, page):
    web.pages["/a"] = page
    begin = time.monotonic()
    with pytest.raises(AccessError, match="did not answer in time"):
        fetcher.get(f"{web.url}/a", most_seconds=0.2)
    assert time.monotonic() - begin < 2


def test_silence_is_not_waited_for(web, fetcher, monkeypatch):
    monkeypatch.setattr(fetch, "READ", 0.1)
    web.pages["/a"] = lambda request: time.sleep(0.5)
    with pytest.raises(AccessError, match="did not answer in time"):
        fetcher.get(f"{web.url}/a")


def test_the_end_of_all_comes_before_that_of_a_piece(web, fetcher):
    web.pages["/a"] = lambda request: time.sleep(0.3)
    with pytest.raises(AccessError, match=r"did not answer in time.* 0 s for all"):
        fetcher.get(f"{web.url}/a", most_seconds=0.1)


def test_redirects_do_not_prolong_the_time(web, fetcher):
    def slow(place):
        return lambda request: (time.sleep(0.15), redirect(place)(request))

    web.pages |= {"/a": slow("/b"), "/b": slow("/c"), "/c": b"late"}
    with pytest.raises(AccessError, match="did not answer in time"):
        fetcher.get(f"{web.url}/a", most_seconds=0.25)


def test_types(web, fetcher):
    web.pages["/a"] = lambda request: request.answer(b"<p>", Content_Type="text/html; charset=x")
    with pytest.raises(AccessError, match="answered 'text/html'; wanted is image/"):
        fetcher.get(f"{web.url}/a", types=("image/",))
    assert fetcher.get(f"{web.url}/a", types=("image/", "text/")) == b"<p>"


@pytest.mark.parametrize("status", [204, 206, 304, 401, 404, 500])
def test_other_statuses_are_errors_without_the_token(web, fetcher, status):
    web.pages["/a"] = lambda request: request.answer(b"", status=status)
    with pytest.raises(AccessError, match=f"/a' answered HTTP {status}") as caught:
        fetcher.get(f"{web.url}/a?token=SECRET")
    assert "SECRET" not in str(caught.value)


def test_a_host_that_is_down_or_unknown(fetcher):
    with pytest.raises(AccessError, match="cannot be fetched"):
        Fetcher(("127.0.0.1",)).get("http://127.0.0.1:9/")
    with pytest.raises(AccessError, match=r"host 'nowhere\.invalid' was not found"):
        fetcher.get("http://nowhere.invalid/")


def test_cancel_ends_a_download(web, tmp_path):
    web.pages["/a"] = endless
    answers = iter([False] * 5 + [True])
    fetcher = Fetcher((web.host,), stop=lambda: next(answers))
    with pytest.raises(CancelledError, match="cancelled"):
        fetcher.download(f"{web.url}/a", tmp_path / "a", most_bytes=2**40)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_says_what_is_free_and_needed(web, fetcher, disk):
    folder = disk(MANY)
    web.pages |= {"/big": bytes(2 * MANY), "/endless": endless}
    with pytest.raises(OutputError, match=rf"\d+ bytes are free and {2 * MANY} bytes are needed"):
        fetcher.download(f"{web.url}/big", folder / "a", most_bytes=2**40)
    with pytest.raises(OutputError, match="the disk is full: 0 bytes are free"):
        fetcher.download(f"{web.url}/endless", folder / "a", most_bytes=2**40)
    assert not list(folder.iterdir())


def test_tls_is_checked_under_the_name(web, monkeypatch, tmp_path):
    """The certificate must be of the name, though the connection goes to an address."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    addresses.tls_context.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    web.socket = context.wrap_socket(web.socket, server_side=True)
    web.pages["/"] = b"safe"
    fetcher = Fetcher(("localhost", "127.0.0.1"))
    assert fetcher.get(f"https://localhost:{web.server_port}/") == b"safe"
    web.pages["/plain"] = redirect(f"http://localhost:{web.server_port}/")
    with pytest.raises(AccessError, match="redirects from https to http"):
        fetcher.get(f"https://localhost:{web.server_port}/plain")
    with pytest.raises(AccessError, match="certificate"):
        fetcher.get(f"https://127.0.0.1:{web.server_port}/")
    addresses.tls_context.cache_clear()


def test_the_environment_names_no_proxy(web, fetcher, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    web.pages["/"] = b"direct"
    assert fetcher.get(web.url) == b"direct"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_fails_in_passing_is_asked_again(web, fetcher, monkeypatch, tmp_path, status):
    monkeypatch.setattr(fetch, "PAUSES", (0, 0))
    bad = [lambda request: request.answer(b"", status=status), lambda request: None]

    def page(request):
        bad.pop()(request) if bad else request.answer(b"at last")

    web.pages["/a"] = page
    path = fetcher.download(f"{web.url}/a", tmp_path / "a", most_bytes=MANY)
    assert path.read_bytes() == b"at last"
    assert len(web.asked) == 3


def test_what_fails_for_good_is_not_asked_again(web, fetcher, monkeypatch):
    monkeypatch.setattr(fetch, "PAUSES", (0, 0))
    with pytest.raises(AccessError, match="answered HTTP 404"):
        fetcher.get(f"{web.url}/none")
    assert len(web.asked) == 1
    web.pages["/a"] = lambda request: request.answer(b"", status=500)
    with pytest.raises(AccessError, match="answered HTTP 500"):
        fetcher.get(f"{web.url}/a")
    assert len(web.asked) == 4
