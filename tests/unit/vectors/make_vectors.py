"""Write the vectors of this directory with implementations that the agent doesn't use."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = Path(__file__).parent
KEY = "an encryption key of 40 characters, more"
PLAIN_TEXTS = [
    '"s3cret"',
    '""',
    '{"user":"admin","password":"p\\"w","port":5432}',
    '"ключ 鍵 \\u0000"',
    "null",
    "[1,2.5,true]",
    '"' + "x" * 5000 + '"',
]


def encrypted(index: int, plain: str) -> dict[str, str]:
    """Encrypt one JSON text as the deployment stores it."""
    nonce = hashlib.sha256(str(index).encode()).digest()[:12]
    encrypted = AESGCM(hashlib.sha256(KEY.encode()).digest()).encrypt(nonce, plain.encode(), None)
    return {"plain": plain, "stored": base64.b64encode(nonce + encrypted).decode()}


def signed(payload: str, secret: str) -> dict[str, str]:
    """Sign one payload; header and payload are given as text, so that their order is part of the vector."""
    parts = [base64.urlsafe_b64encode(text.encode()).rstrip(b"=") for text in ('{"typ":"JWT","alg":"HS256"}', payload)]
    signature = hmac.new(secret.encode(), b".".join(parts), hashlib.sha256).digest()
    token = b".".join((*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")))
    return {"payload": payload, "secret": secret, "token": token.decode()}


def main() -> None:
    """Write both files."""
    secrets = {
        "key": KEY,
        "key_hash": hashlib.sha256(KEY.encode()).hexdigest(),
        "values": [encrypted(index, plain) for index, plain in enumerate(PLAIN_TEXTS)],
    }
    payload = (
        '{"sub":"17","login":"execution:901","iat":1775034902,"exp":1775035262,"token_type":"execution",'
        '"scope":"execution","metadata":{"execution_id":901,"action_ref":"ops.rotate",'
        '"permission_set_refs":["standard","ops.admin"],"standard_access_action_refs":["flow.nightly","ops.rotate"],'
        '"standard_access_pack_refs":["flow","ops"]}}'
    )
    tokens = [signed(payload, "insecure_default_secret_change_in_production")]
    for name, data in (("secrets.json", secrets), ("tokens.json", tokens)):
        (HERE / name).write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
