"""A PEM file becomes a key store that Java can read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.environments.trust_store import java_trust_store
from tests.services.tls import make_authority


def test_javas_own_tool_finds_every_authority(tmp_path: Path) -> None:
    pems = [make_authority(tmp_path / name, name=name).certificate.read_text() for name in ("one", "two")]
    store = tmp_path / "store.jks"
    store.write_bytes(java_trust_store("# comment\n" + "\n".join(pems)))
    assert store.read_bytes()[:12] == bytes.fromhex("feedfeed0000000200000002")
    if shutil.which("keytool") is None:
        pytest.skip("keytool is not installed")
    command = ["keytool", "-list", "-v", "-keystore", str(store), "-storepass", "changeit"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Keystore type: JKS" in listed and "contains 2 entries" in listed
    assert "Owner: CN=one" in listed and "Owner: CN=two" in listed


@pytest.mark.parametrize("pem", ["", "text", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----"])
def test_what_has_no_certificate_is_refused(pem: str) -> None:
    with pytest.raises(ValueError, match=r"certificate|[Ii]ncorrect padding|base64"):
        java_trust_store(pem)
