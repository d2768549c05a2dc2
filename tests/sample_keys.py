"""Keys that tests sign with, and public keys that they trust."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

MAKERS: dict[str, Callable[[], Any]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
}


def write_key(path: Path, kind: str = "ed25519", *, passphrase: str | None = None, openssh: bool = False) -> Path:
    """Write a new private key, and the public key beside it with the suffix `.pub`, both in PEM or of OpenSSH."""
    key = MAKERS[kind]()
    protection = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    form = PrivateFormat.OpenSSH if openssh else PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(Encoding.PEM, form, protection))
    path.chmod(0o600)
    public = (Encoding.OpenSSH, PublicFormat.OpenSSH) if openssh else (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.with_name(f"{path.name}.pub").write_bytes(key.public_key().public_bytes(*public) + b"\n")
    return path
