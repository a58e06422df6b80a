"""Certificates: of our own, kept as long as they serve, trusted by who has the CA alone."""

import datetime
import ssl
import stat
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
import trustme
from cryptography import x509

from geodl_lab.errors import OptionError, OutputError
from geodl_lab.server import tls
from geodl_lab.server.options import ServerOptions
from geodl_lab.server.tls import names_of, tls_files


def own(folder, **options):
    return ServerOptions(data_dir=folder, self_signed=True, **options)


class Answer(BaseHTTPRequestHandler):
    """Answers every request with one word."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *words):
        pass


@contextmanager
def serving(files):
    """A server that speaks https with these files; its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.cert, files.key)
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_client_with_the_authority_trusts_us_and_no_other_name(tmp_path):
    files = tls_files(own(tmp_path))
    context = ssl.create_default_context(cafile=files.ca)
    with serving(files) as port, httpx.Client(verify=context, trust_env=False) as client:
        for host in ("localhost", "127.0.0.1"):
            assert client.get(f"https://{host}:{port}/").text == "ok"
        with pytest.raises(httpx.ConnectError, match=r"[Mm]ismatch"):
            client.get(
                f"https://127.0.0.1:{port}/", extensions={"sni_hostname": "other.example.org"}
            )
    with (
        serving(files) as port,
        httpx.Client(trust_env=False) as client,
        pytest.raises(httpx.ConnectError, match="certificate verify failed"),
    ):
        client.get(f"https://localhost:{port}/")


def test_files_are_kept_and_the_key_is_private(tmp_path):
    files = tls_files(own(tmp_path))
    before = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    assert sorted(before) == ["ca.pem", "cert.pem", "key.pem"]
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert tls_files(own(tmp_path, host="::1")) == files
    assert {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()} == before


def test_a_name_more_makes_new_files(tmp_path):
    before = tls_files(own(tmp_path)).ca.read_bytes()
    files = tls_files(own(tmp_path, tls_hosts=("maps.example.org", "10.1.2.3")))
    assert files.ca.read_bytes() != before
    cert = x509.load_pem_x509_certificate(files.cert.read_bytes())
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "maps.example.org" in names.get_values_for_type(x509.DNSName)
    assert "10.1.2.3" in map(str, names.get_values_for_type(x509.IPAddress))


def test_a_certificate_that_ends_soon_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(tls, "DAYS", tls.SPARE_DAYS - 1)
    before = tls_files(own(tmp_path)).cert.read_bytes()
    monkeypatch.undo()
    cert = x509.load_pem_x509_certificate(tls_files(own(tmp_path)).cert.read_bytes())
    assert tls_files(own(tmp_path)).cert.read_bytes() != before
    left = cert.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert left > datetime.timedelta(days=tls.SPARE_DAYS)


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem"])
def test_a_damaged_file_is_made_anew(tmp_path, name):
    files = tls_files(own(tmp_path))
    (tmp_path / "tls" / name).write_text("damaged")
    assert tls_files(own(tmp_path)) == files
    assert (tmp_path / "tls" / name).read_text() != "damaged"


def test_the_host_is_named_unless_it_is_every_host(tmp_path):
    assert "10.0.0.7" in names_of(own(tmp_path, host="10.0.0.7"))
    assert "0.0.0.0" not in names_of(own(tmp_path, host="0.0.0.0"))


def test_files_of_the_operator(tmp_path):
    cert, other = trustme.CA().issue_cert("a.org"), trustme.CA().issue_cert("a.org")
    cert.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    cert.private_key_pem.write_to_path(tmp_path / "key.pem")
    other.private_key_pem.write_to_path(tmp_path / "other.pem")
    given = {"data_dir": tmp_path, "tls_cert": tmp_path / "cert.pem"}
    files = tls_files(ServerOptions(**given, tls_key=tmp_path / "key.pem"))
    assert (files.cert, files.key, files.ca) == (tmp_path / "cert.pem", tmp_path / "key.pem", None)
    with pytest.raises(OptionError, match="give the two files of one certificate"):
        tls_files(ServerOptions(**given, tls_key=tmp_path / "other.pem"))
    assert tls_files(ServerOptions(data_dir=tmp_path)) is None


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "tls").write_text("a file")
    with pytest.raises(OutputError, match="tls cannot be written"):
        tls_files(own(tmp_path))
