"""Sign with a private key in a file (PEM or OpenSSH), or with a key that an SSH agent or a FIDO token keeps.

The passphrase of a key is that of the environment variable GEOGRAPHER_KEY_PASSPHRASE, or is asked for on the terminal.
"""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

from geographer.base.errors import NotFoundError, UsageError
from geographer.base.signatures.public_keys import (
    encode_public_key,
    format_pem_key,
    format_ssh_key,
    write_string,
)
from geographer.base.signatures.signature import Signature
from geographer.base.signatures.ssh_format import make_ssh_signature

PASSPHRASE_VARIABLE: Final = "GEOGRAPHER_KEY_PASSPHRASE"
_FORMS: Final = "Use an Ed25519 key in PEM, a private key of OpenSSH, or the .pub file of a key in an SSH agent."
_SSH_CURVES: Final = {"secp256r1", "secp384r1", "secp521r1"}
_MAX_BYTES: Final = 1 << 20


class Signer:
    """Signs with the key in a file; the passphrase is asked for once.

    Attributes:
        key_fingerprint: The fingerprint of the public key, `SHA256:…`.
    """

    def __init__(self, path: Path) -> None:
        """Read the key.

        Raises:
            NotFoundError: there is no such file.
            UsageError: it is not a key of a supported type, or its passphrase is missing or wrong.
        """
        self._path = path
        content = _read_key_file(path)
        self._is_of_openssh = b"BEGIN OPENSSH" in content
        is_private = b"PRIVATE KEY-----" in content
        self._key: Any = _load_private_key(path, content) if is_private else None
        if self._key is None and is_private:
            content = _read_key_file(path.with_name(f"{path.name}.pub"))
        self._ssh_key = content.decode(errors="replace") if self._key is None else ""
        self.key_fingerprint = Signature("ssh", self.public_key, "").key_fingerprint

    @property
    def public_key(self) -> str:
        """The public key: of an Ed25519 key in PEM that, else a line of OpenSSH without comment."""
        if self._key is None:
            return " ".join(self._ssh_key.split()[:2])
        key = self._key.public_key()
        return format_pem_key(key) if self._makes_plain_signatures else format_ssh_key(key)

    @property
    def empty_signature(self) -> Signature:
        """The form and the key of the signatures that are made, without a signature."""
        return Signature("ed25519" if self._makes_plain_signatures else "ssh", self.public_key, "")

    def sign_message(self, message: bytes, namespace: str) -> Signature:
        """Return the signature over a message; an SSH signature is for the namespace.

        Raises:
            NotFoundError: the key is with an agent or a token, and this machine has no ssh-keygen.
            UsageError: ssh-keygen could not sign.
        """
        if self._key is None:
            return Signature("ssh", self.public_key, self._sign_by_program(message, namespace))
        if self._makes_plain_signatures:
            return Signature("ed25519", self.public_key, b64encode(self._key.sign(message)).decode())
        blob = encode_public_key(self._key.public_key())
        return Signature("ssh", self.public_key, make_ssh_signature(blob, namespace, message, self._sign_for_ssh))

    @property
    def _makes_plain_signatures(self) -> bool:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return isinstance(self._key, Ed25519PrivateKey) and not self._is_of_openssh

    def _sign_for_ssh(self, data: bytes) -> bytes:
        """Return the signature over bytes in SSH's wire format."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        key = self._key
        if isinstance(key, rsa.RSAPrivateKey):
            name, value = b"rsa-sha2-512", key.sign(data, padding.PKCS1v15(), hashes.SHA512())
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            name = format_ssh_key(key.public_key()).split()[0].encode()
            hashed = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.key_size]
            value = b"".join(map(_encode_integer, decode_dss_signature(key.sign(data, ec.ECDSA(hashed)))))
        else:
            name, value = b"ssh-ed25519", key.sign(data)
        return write_string(name) + write_string(value)

    def _sign_by_program(self, message: bytes, namespace: str) -> str:
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(self._path)]
        try:
            # What a token asks for, and why an agent refuses, is on the standard error.
            result = subprocess.run(command, input=message, stdout=subprocess.PIPE, check=False)
        except FileNotFoundError as error:
            raise NotFoundError(
                "a key of an SSH agent or a FIDO token needs ssh-keygen, which this machine lacks. Install OpenSSH, or "
                "sign with a private key in a file."
            ) from error
        if result.returncode:
            raise UsageError(
                f"ssh-keygen could not sign with the key of '{self._path}' (exit code {result.returncode}). Add the "
                "key to your agent with ssh-add, or name the file of the private key."
            )
        return result.stdout.decode()


def _read_key_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except FileNotFoundError as error:
        raise NotFoundError(f"no key file '{path}'. {_FORMS}") from error
    except OSError as error:
        raise UsageError(f"cannot read the key file '{path}' ({error.strerror}). {_FORMS}") from error


def _load_private_key(path: Path, content: bytes) -> Any:
    """Return a private key as an object of `cryptography`; None if only ssh-keygen can use it: it is of a token."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    load = load_ssh_private_key if b"BEGIN OPENSSH" in content else load_pem_private_key
    try:
        key = _load_with_passphrase(path, lambda passphrase: load(content, passphrase))
    except UnsupportedAlgorithm as error:
        if b"BEGIN OPENSSH" in content:
            return None
        raise UsageError(f"the type of the key in '{path}' is not supported: {error}. {_FORMS}") from error
    is_of_curve = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _SSH_CURVES
    if not (is_of_curve or isinstance(key, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey)):
        raise UsageError(f"the key in '{path}' is of a type that cannot sign here. {_FORMS}")
    return key


def _load_with_passphrase(path: Path, load: Any) -> Any:
    """Load a key without a passphrase, or else with that of the environment variable or the terminal."""
    try:
        return load(None)
    except TypeError:
        passphrase = _read_passphrase(path)
    except ValueError as error:
        if "assword" not in str(error):
            raise UsageError(f"'{path}' is not a private key that can be read. {_FORMS}") from error
        passphrase = _read_passphrase(path)
    try:
        return load(passphrase.encode())
    except (TypeError, ValueError) as error:
        raise UsageError(f"the passphrase does not open the key in '{path}'. Check {PASSPHRASE_VARIABLE}.") from error


def _read_passphrase(path: Path) -> str:
    import getpass

    if (passphrase := os.environ.get(PASSPHRASE_VARIABLE)) is not None:
        return passphrase
    if not sys.stdin.isatty():
        raise UsageError(
            f"the key in '{path}' has a passphrase. Set the environment variable {PASSPHRASE_VARIABLE}, or run the "
            "command in a terminal, which asks for it."
        )
    return getpass.getpass(f"Passphrase of {path}: ")


def _encode_integer(number: int) -> bytes:
    """Return a positive integer in SSH's wire format."""
    return write_string(number.to_bytes(number.bit_length() // 8 + 1, "big"))
