"""Public keys in the forms of OpenSSL (PEM) and OpenSSH: their fingerprints, and whether they verify a signature."""

from __future__ import annotations

import hashlib
import struct
from base64 import b64decode, b64encode
from typing import Any, Final

from geographer.base.errors import UsageError

PEM_HEADER: Final = "-----BEGIN PUBLIC KEY-----"
_ECDSA_HASHES: Final = {b"nistp256": "SHA256", b"nistp384": "SHA384", b"nistp521": "SHA512"}
_RSA_HASHES: Final = {b"rsa-sha2-256": "SHA256", b"rsa-sha2-512": "SHA512"}
_SECURITY_KEYS: Final = {
    b"sk-ssh-ed25519@openssh.com": b"ssh-ed25519",
    b"sk-ecdsa-sha2-nistp256@openssh.com": b"ecdsa-sha2-nistp256",
}
"""The types of keys in FIDO tokens, with those whose signatures they make."""
_MIN_RSA_BITS: Final = 2048


class SignatureError(Exception):
    """A signature does not hold, or is not one."""


def read_strings(data: bytes, count: int) -> list[bytes]:
    """Return the first `count` strings of SSH's wire format, then the rest; `SignatureError` if they are cut off."""
    strings, place = [], 0
    for _ in range(count):
        if len(data) < place + 4:
            raise SignatureError("it is cut off")
        (length,) = struct.unpack_from(">I", data, place)
        strings.append(data[place + 4 : place + 4 + length])
        if len(strings[-1]) != length:
            raise SignatureError("it is cut off")
        place += 4 + length
    return [*strings, data[place:]]


def write_string(data: bytes) -> bytes:
    """Return a string of SSH's wire format: its length in 4 bytes, then its bytes."""
    return struct.pack(">I", len(data)) + data


def format_fingerprint(blob: bytes) -> str:
    """Return the fingerprint of a key in SSH's wire format, as `ssh-keygen -l` prints it: `SHA256:…`."""
    return f"SHA256:{b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


def decode_public_key(text: str) -> bytes:
    """Return a public key (PEM, or a line of OpenSSH) in SSH's wire format; `UsageError` if it is not one."""
    try:
        if text.lstrip().startswith("-----"):
            return encode_public_key(load_pem_key(text))
        kind, encoded = text.split()[:2]
        blob = b64decode(encoded, validate=True)
        if read_strings(blob, 1)[0] != kind.encode():
            raise UsageError(f"invalid public key: it is not of the type '{kind}'. Use a line of OpenSSH, or PEM.")
        return blob
    except (ValueError, SignatureError) as error:
        raise UsageError("invalid public key. Use a line such as 'ssh-ed25519 AAAA…', or PEM.") from error


def load_pem_key(text: str) -> Any:
    """Return a public key in PEM as an object of `cryptography`; ValueError if it is not one."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return load_pem_public_key(text.encode())
    except UnsupportedAlgorithm as error:
        raise ValueError("the type of the key is not supported") from error


def encode_public_key(key: Any) -> bytes:
    """Return a public key of `cryptography` in SSH's wire format; ValueError if SSH has no such type."""
    return b64decode(format_ssh_key(key).split()[1])


def format_ssh_key(key: Any) -> str:
    """Return a public key of `cryptography` as a line of OpenSSH without comment."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return str(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())


def format_pem_key(key: Any) -> str:
    """Return a public key of `cryptography` as PEM, which OpenSSL reads."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return str(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def verify_ed25519(pem_key: str, signature: bytes, message: bytes) -> None:
    """Raise `SignatureError` unless an Ed25519 key in PEM made a signature of 64 bytes over a message."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = load_pem_key(pem_key)
    except ValueError as error:
        raise SignatureError("its key is not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError("its key is not an Ed25519 key")
    try:
        key.verify(signature, message)
    except InvalidSignature as error:
        raise SignatureError("it is not of this key and these bytes") from error


def verify_ssh_blob(blob: bytes, signature: bytes, message: bytes) -> None:
    """Raise `SignatureError` unless a key in SSH's wire format made a signature in that format over a message."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    kind = read_strings(blob, 1)[0]
    algorithm, value, rest = read_strings(signature, 2)
    if kind in _SECURITY_KEYS:
        blob, message = _unwrap_security_key(blob, rest, message)
        if algorithm != kind:
            raise SignatureError("it is of another type than its key")
        kind = algorithm = _SECURITY_KEYS[kind]
    elif rest:
        raise SignatureError("it is followed by other bytes")
    try:
        key = load_ssh_public_key(kind + b" " + b64encode(blob))
        _verify_value(key, algorithm, value, message)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"its key, of type '{kind.decode(errors='replace')}', is not supported") from error
    except InvalidSignature as error:
        raise SignatureError("it is not of this key and these bytes") from error


def _unwrap_security_key(blob: bytes, rest: bytes, message: bytes) -> tuple[bytes, bytes]:
    """Return the key inside a FIDO token's, and what the token signs: hashes, flags and a counter."""
    kind, *parts = read_strings(blob, 3)
    inner = _SECURITY_KEYS[kind]
    if inner == b"ssh-ed25519":
        content, application = [parts[0]], parts[1]
    else:
        curve, point, application, _ = read_strings(blob[4 + len(kind) :], 3)
        content = [curve, point]
    if len(rest) != 5 or not rest[0] & 1:
        raise SignatureError("the token did not record that its owner touched it")
    signed = hashlib.sha256(application).digest() + rest + hashlib.sha256(message).digest()
    return b"".join(map(write_string, [inner, *content])), signed


def _verify_value(key: Any, algorithm: bytes, value: bytes, message: bytes) -> None:
    """Verify a signature by an algorithm of SSH; ValueError if it is not one of the key."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if isinstance(key, ed25519.Ed25519PublicKey) and algorithm == b"ssh-ed25519":
        key.verify(value, message)
    elif isinstance(key, rsa.RSAPublicKey) and algorithm in _RSA_HASHES and key.key_size >= _MIN_RSA_BITS:
        key.verify(value, message, padding.PKCS1v15(), getattr(hashes, _RSA_HASHES[algorithm])())
    elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm.startswith(b"ecdsa-sha2-"):
        hashed = getattr(hashes, _ECDSA_HASHES.get(algorithm.removeprefix(b"ecdsa-sha2-"), "SHA512"))()
        first, second, _ = read_strings(value, 2)
        numbers = int.from_bytes(first, "big"), int.from_bytes(second, "big")
        key.verify(encode_dss_signature(*numbers), message, ec.ECDSA(hashed))
    else:
        raise ValueError("the signature is not one of the key")
