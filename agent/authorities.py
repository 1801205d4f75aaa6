"""Where a machine keeps the certificate authorities that it trusts.

OpenSSL as built into a frozen program looks where another distribution keeps them.
"""

from __future__ import annotations

import ssl
from pathlib import Path

#: Debian and Alpine, Red Hat, SUSE, Red Hat without its compatibility links, Alpine without its package of authorities.
AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return what checks certificates and their hosts' names, by ``ca_file`` or by what the machine trusts.

    Raises:
        OSError: the file can't be read, or holds no certificates (ssl.SSLError is a kind of it).
    """
    if ca_file is not None:
        return ssl.create_default_context(cafile=str(ca_file))
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        _add_system_authorities(context)
    return context


def _add_system_authorities(context: ssl.SSLContext) -> None:
    for candidate in AUTHORITIES:
        try:
            context.load_verify_locations(cafile=candidate)
        except OSError:
            continue
        return
