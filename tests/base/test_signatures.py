"""Signatures: those of FIDO tokens as `ssh-keygen` accepts them, and texts that are no signatures or keys."""

from __future__ import annotations

import hashlib
import subprocess
from base64 import b64encode
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from geographer.base.errors import UsageError
from geographer.base.signatures.private_keys import Signer
from geographer.base.signatures.public_keys import SignatureError, decode_public_key, write_string
from geographer.base.signatures.signature import Signature
from geographer.base.signatures.ssh_format import make_ssh_signature
from geographer.base.signatures.trusted_keys import read_trusted_keys
from tests.sample_keys import write_key

MESSAGE = b'{"tag":"v1"}'
APPLICATION = b"ssh:"
TOUCHED = b"\x01\0\0\0\x07"
"""What a token adds to what it signs: flags, of which the first says that its owner touched it, and a counter."""


def sign_as_token(kind, rest=TOUCHED):
    """Return the signature that a FIDO token would make, which this machine does not have."""
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        name, raw = b"sk-ssh-ed25519@openssh.com", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        parts = [name, raw, APPLICATION]
    else:
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        name = b"sk-ecdsa-sha2-nistp256@openssh.com"
        parts = [name, b"nistp256", point, APPLICATION]
    blob = b"".join(map(write_string, parts))

    def sign(data):
        signed = hashlib.sha256(APPLICATION).digest() + rest + hashlib.sha256(data).digest()
        if isinstance(key, ed25519.Ed25519PrivateKey):
            value = key.sign(signed)
        else:
            numbers = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
            value = b"".join(write_string(number.to_bytes(number.bit_length() // 8 + 1, "big")) for number in numbers)
        return write_string(name) + write_string(value) + rest

    text = make_ssh_signature(blob, "geographer", MESSAGE, sign)
    return Signature("ssh", f"{name.decode()} {b64encode(blob).decode()}", text)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_signature_of_token_holds(tmp_path, kind):
    signature = sign_as_token(kind)
    signature.verify_message(MESSAGE, "geographer")
    (tmp_path / "allowed").write_text(f"ada {signature.public_key}\n")
    (tmp_path / "signature").write_text(signature.signature)
    command = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "ada", "-n", "geographer", "-s", "signature"]
    subprocess.run(command, cwd=tmp_path, input=MESSAGE, check=True, capture_output=True)
    with pytest.raises(SignatureError, match="not of this key and these bytes"):
        signature.verify_message(MESSAGE + b" ", "geographer")
    with pytest.raises(SignatureError, match="for the namespace 'geographer'"):
        signature.verify_message(MESSAGE, "git")
    untouched = sign_as_token(kind, b"\0" * 5)
    with pytest.raises(SignatureError, match="its owner touched it"):
        untouched.verify_message(MESSAGE, "geographer")


@pytest.mark.parametrize("openssh", [False, True])
def test_every_altered_byte_is_found(tmp_path, openssh):
    signature = Signer(write_key(tmp_path / "key", openssh=openssh)).sign_message(MESSAGE, "geographer")
    signature.verify_message(MESSAGE, "geographer")
    text = signature.signature
    for place in range(0, len(text), 3):
        altered = f"{text[:place]}{'A' if text[place] != 'A' else 'B'}{text[place + 1 :]}"
        with pytest.raises(SignatureError):
            Signature(signature.format, signature.public_key, altered).verify_message(MESSAGE, "geographer")
    other = Signer(write_key(tmp_path / "other", openssh=openssh)).public_key
    with pytest.raises(SignatureError):
        Signature(signature.format, other, text).verify_message(MESSAGE, "geographer")


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", "ä"])
@pytest.mark.parametrize("form", ["ssh", "ed25519"])
def test_other_texts_are_no_signatures(tmp_path, form, text):
    key = Signer(write_key(tmp_path / "key", openssh=form == "ssh")).public_key
    with pytest.raises(SignatureError):
        Signature(form, key, text).verify_message(MESSAGE, "geographer")
    with pytest.raises((SignatureError, UsageError)):
        Signature(form, "x", text).verify_message(MESSAGE, "geographer")


@pytest.mark.parametrize("text", ["", "ssh-rsa", "ssh-rsa AAAA", "ssh-ed25519 !", "-----BEGIN PUBLIC KEY-----", "ä ä"])
def test_other_texts_are_no_public_keys(text):
    with pytest.raises(UsageError, match="invalid public key"):
        decode_public_key(text)


def test_forms_of_a_key_are_one_key(tmp_path):
    """A key in PEM, in `allowed_signers` and in `authorized_keys`."""
    key = write_key(tmp_path / "key")
    signer = Signer(key)
    blob = decode_public_key(signer.public_key)
    text = f"ssh-ed25519 {b64encode(blob).decode()}"
    (tmp_path / "lines").write_text(
        f'"ada lovelace" namespaces="git" {text} comment\n{text} ada@laptop\n*@example.org cert-authority {text}\n'
    )
    keys = read_trusted_keys(tmp_path / "lines")
    assert [(found.names, found.namespaces, found.blob) for found in keys] == [
        ("ada lovelace", ("git",), blob),
        ("ada@laptop", None, blob),
    ]
    (pem,) = read_trusted_keys(tmp_path / "key.pub")
    assert (pem.names, pem.blob) == ("key.pub", blob)


def test_curve_without_ssh_form_is_refused(tmp_path):
    with pytest.raises(UsageError, match="of a type that cannot sign here"):
        Signer(write_key(tmp_path / "key", "secp256k1"))


def test_options_are_no_name(tmp_path):
    """A line of `allowed_signers` begins with a name: without one, options would be read as the name."""
    blob = decode_public_key(Signer(write_key(tmp_path / "key")).public_key)
    (tmp_path / "keys").write_text(f'namespaces="git" ssh-ed25519 {b64encode(blob).decode()}\n')
    with pytest.raises(UsageError, match="line 1 of"):
        read_trusted_keys(tmp_path / "keys")


@pytest.mark.parametrize(
    ("options", "restriction"),
    [
        ("", None),
        ('namespaces="git,geo*"', None),
        ('valid-after="20260101",valid-before="20270101"', None),
        ('namespaces="git"', "may sign for the namespaces git only, not for geographer"),
        ('namespaces="!geographer,*"', "may sign for the namespaces !geographer, * only, not for geographer"),
        ('namespaces=""', "may sign for the namespaces  only, not for geographer"),
        ('namespaces="git",valid-after="2020"', "unreadable"),
        ("valid-before=20200101", "unreadable"),
        ('valid-befor="20200101"', "unreadable"),
        ('valid-before="20200101",valid-before="20990101"', "unreadable"),
        ('namespaces="git" further', "unreadable"),
        ('namespaces="git', "unreadable"),
        ('valid-after="20270101Z"', "is valid from 2027-01-01 on only"),
        ('valid-before="202606011200Z"', "was valid until 2026-06-01 only"),
    ],
)
def test_restrictions_of_trusted_keys(tmp_path, options, restriction):
    """They are those of `allowed_signers`; a line that cannot be read is not passed over."""
    blob = decode_public_key(Signer(write_key(tmp_path / "key")).public_key)
    (tmp_path / "keys").write_text(f"ada {options} ssh-ed25519 {b64encode(blob).decode()}\n")
    if restriction == "unreadable":
        with pytest.raises(UsageError, match="line 1 of"):
            read_trusted_keys(tmp_path / "keys")
        return
    (key,) = read_trusted_keys(tmp_path / "keys")
    assert key.find_restriction("geographer", datetime(2026, 6, 1, 12, tzinfo=UTC)) == restriction
