"""Where a machine keeps the certificate authorities that it trusts.

OpenSSL as built into a frozen program looks where another distribution keeps them.
"""

from __future__ import annotations

#: Debian and Alpine, Red Hat, SUSE, Red Hat without its compatibility links, Alpine without its package of authorities.
AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
