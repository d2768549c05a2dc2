"""SSH signatures (SSHSIG), as `ssh-keygen -Y sign` writes and `ssh-keygen -Y verify` reads them.

The format is that of OpenSSH's PROTOCOL.sshsig: a block of text in base64, with the public key, a namespace, the name
of a hash, and the signature over namespace and hash of the message.
"""

from __future__ import annotations

import hashlib
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final, NamedTuple

from geographer.base.signatures.public_keys import SignatureError, read_strings, verify_ssh_blob, write_string

_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"
_END: Final = "-----END SSH SIGNATURE-----"
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_LINE: Final = 70
_HASHES: Final = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


class SshSignature(NamedTuple):
    """The content of an SSH signature: the key in SSH's wire format, the namespace, the hash and the signature."""

    public_key: bytes
    namespace: bytes
    hash_name: bytes
    signature: bytes


def make_ssh_signature(public_key: bytes, namespace: str, message: bytes, sign: Callable[[bytes], bytes]) -> str:
    """Return an SSH signature over a message as text; `sign` signs bytes and returns SSH's wire format."""
    content = SshSignature(public_key, namespace.encode(), b"sha512", b"")
    content = content._replace(signature=sign(_list_signed_bytes(content, message)))
    fields = [content.public_key, content.namespace, b"", content.hash_name, content.signature]
    encoded = b64encode(_MAGIC + struct.pack(">I", _VERSION) + b"".join(map(write_string, fields))).decode()
    lines = [encoded[place : place + _LINE] for place in range(0, len(encoded), _LINE)]
    return "".join(f"{line}\n" for line in (_BEGIN, *lines, _END))


def parse_ssh_signature(text: str) -> SshSignature:
    """Return the content of an SSH signature; `SignatureError` if the text is not one."""
    lines = text.split()
    if not (text.startswith(_BEGIN) and text.rstrip().endswith(_END)):
        raise SignatureError("it is not an SSH signature")
    try:
        blob = b64decode("".join(lines[3:-3]), validate=True)
    except ValueError as error:
        raise SignatureError("it is not an SSH signature") from error
    if not blob.startswith(_MAGIC + struct.pack(">I", _VERSION)):
        raise SignatureError("it is not an SSH signature of version 1")
    public_key, namespace, _reserved, hash_name, signature, rest = read_strings(blob[len(_MAGIC) + 4 :], 5)
    if rest or hash_name not in _HASHES:
        raise SignatureError("its hash is unknown, or it is followed by other bytes")
    return SshSignature(public_key, namespace, hash_name, signature)


def verify_ssh_signature(content: SshSignature, namespace: str, message: bytes) -> None:
    """Raise `SignatureError` unless the signature is one over a message for a namespace."""
    if content.namespace != namespace.encode():
        raise SignatureError(f"it is for the namespace '{content.namespace.decode(errors='replace')}'")
    verify_ssh_blob(content.public_key, content.signature, _list_signed_bytes(content, message))


def _list_signed_bytes(content: SshSignature, message: bytes) -> bytes:
    hashed = _HASHES[content.hash_name](message).digest()
    fields = [content.namespace, b"", content.hash_name, hashed]
    return _MAGIC + b"".join(map(write_string, fields))
