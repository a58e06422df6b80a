"""https: a certificate of the operator, or one of our own with the authority that clients trust.

ArcGIS clients insist on https. With ``--self-signed`` they are given ``tls/ca.pem`` of the data
folder, as ``ca_bundles=`` for one. The key of the authority is thrown away once it has signed, so
that nobody can sign anything else with it.
"""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from geodl_lab.errors import OptionError, OutputError
from geodl_lab.server.options import ServerOptions
from geodl_lab.server.tokens import write_private

DAYS = 825
"""How long a certificate of ours is valid."""

SPARE_DAYS = 14
"""A certificate that ends sooner is made anew at the start."""


@dataclass(frozen=True)
class Tls:
    """Files in PEM: the certificate, its key, and the authority to trust if it is our own."""

    cert: Path
    key: Path
    ca: Path | None = None


def tls_files(options: ServerOptions) -> Tls | None:
    """Return the files for https, made where they are of our own; None without https.

    Raises
    ------
    OptionError
        If certificate and key do not belong together or cannot be read.
    OutputError
        If files of our own cannot be written.
    """
    if options.self_signed:
        return _own(options)
    if options.tls_cert is None or options.tls_key is None:
        return None
    files = Tls(options.tls_cert, options.tls_key)
    fault = _fault(files)
    if fault:
        raise OptionError(
            f"certificate {files.cert} and key {files.key} are not usable: {fault}; "
            "give the two files of one certificate, in PEM, the key without a password"
        )
    return files


def names_of(options: ServerOptions) -> list[str]:
    """Return the names and addresses by which clients may call this server."""
    host = options.host.strip("[]")
    found = ["localhost", "127.0.0.1", "::1", socket.gethostname(), *options.tls_hosts]
    if host not in ("0.0.0.0", "::", ""):
        found.append(host)
    return sorted({name.lower() for name in found if name})


def _own(options: ServerOptions) -> Tls:
    folder = options.data_dir / "tls"
    files = Tls(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    names = names_of(options)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _usable(files, names):
            _make(files, names)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error}; see to its rights") from None
    return files


def _make(files: Tls, names: list[str]) -> None:
    import trustme  # noqa: PLC0415  only who has no certificate yet waits for it

    assert files.ca is not None
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=DAYS)
    authority = trustme.CA(organization_name="geodl-lab", organization_unit_name="own authority")
    cert = authority.issue_cert(*names, not_after=ends, organization_name="geodl-lab")
    chain = b"".join(blob.bytes() for blob in cert.cert_chain_pems)
    write_private(files.key, cert.private_key_pem.bytes())
    write_private(files.cert, chain)
    write_private(files.ca, authority.cert_pem.bytes())
    files.ca.chmod(0o644)


def _usable(files: Tls, names: list[str]) -> bool:
    """Tell whether files of an earlier start fit together, hold long enough and name all names."""
    from cryptography import x509  # noqa: PLC0415

    assert files.ca is not None
    if not all(file.is_file() for file in (files.cert, files.key, files.ca)) or _fault(files):
        return False
    try:
        cert = x509.load_pem_x509_certificate(files.cert.read_bytes())
        cert.verify_directly_issued_by(x509.load_pem_x509_certificate(files.ca.read_bytes()))
        known = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # whatever is wrong with them, they are made anew
        return False
    spare = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=SPARE_DAYS)
    said = {str(name.value).lower() for name in known}
    return cert.not_valid_after_utc > spare and said >= {_plain(name) for name in names}


def _fault(files: Tls) -> str:
    """Return what is wrong with a certificate and its key, or nothing."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # A password is refused at once: nobody sits at a server to be asked for it.
        context.load_cert_chain(files.cert, files.key, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        return str(error) or "a password is needed"
    return ""


def _plain(name: str) -> str:
    """Return an address in the spelling that certificates have, a name as it is."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name
