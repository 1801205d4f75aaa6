"""Certificates, keys and kubeconfigs of a cluster: its programs know each other by them."""

from __future__ import annotations

import subprocess
from pathlib import Path

_KUBECONFIG = """apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{server}", certificate-authority: "{here}/ca.pem"}}}}]
users: [{{name: u, user: {{client-certificate: "{here}/{name}.pem", client-key: "{here}/{name}.key"}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
current-context: c
"""


class Credentials:
    """All of them, written into one directory."""

    def __init__(self, directory: Path, server: str, node: str) -> None:
        """Make an authority, and what it signs: for the API server at ``server``, an administrator, and the node."""
        self._here = directory
        self._openssl("req", "-x509", *_NEW, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
        self._sign("api", "/CN=kube-apiserver")
        self._sign("admin", "/O=system:masters/CN=admin")
        self._sign("node", f"/O=system:nodes/CN=system:node:{node}")
        self._openssl("genrsa", "-out", "accounts.key", "2048")
        for name in ("admin", "node"):
            (directory / f"{name}.conf").write_text(_KUBECONFIG.format(server=server, here=directory, name=name))

    def _sign(self, name: str, subject: str) -> None:
        self._openssl("req", *_NEW, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        (self._here / "names").write_text("subjectAltName=IP:127.0.0.1,IP:10.99.0.1,DNS:localhost,DNS:kubernetes")
        authority = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
        request = ["-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2", "-extfile", "names"]
        self._openssl("x509", "-req", *request, *authority)

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self._here, check=True, capture_output=True)


_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
