"""A signature with its public key, as a log keeps it, and whether it holds."""

from base64 import b64decode
from typing import Literal

import msgspec

from geographer.base.signatures.public_keys import SignatureError, decode_public_key, format_fingerprint, verify_ed25519
from geographer.base.signatures.ssh_format import parse_ssh_signature, verify_ssh_signature


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signature over some bytes.

    Attributes:
        format: `ed25519`: 64 bytes in base64, as OpenSSL makes them; `ssh`: an SSH signature, a block of text.
        public_key: The key of an Ed25519 signature in PEM; that of an SSH signature as a line of OpenSSH.
        signature: The signature.
    """

    format: Literal["ed25519", "ssh"]
    public_key: str
    signature: str

    @property
    def key_blob(self) -> bytes:
        """The public key in SSH's wire format; `UsageError` if it is not a key."""
        return decode_public_key(self.public_key)

    @property
    def key_fingerprint(self) -> str:
        """The fingerprint of the key, `SHA256:…`, as `ssh-keygen -l` prints it; `UsageError` if it is not a key."""
        return format_fingerprint(self.key_blob)

    def verify_message(self, message: bytes, namespace: str) -> None:
        """Raise `SignatureError` unless the signature is one of the public key over a message.

        An SSH signature is for a namespace.
        """
        if self.format == "ed25519":
            try:
                value = b64decode(self.signature, validate=True)
            except ValueError as error:
                raise SignatureError("it is not in base64") from error
            verify_ed25519(self.public_key, value, message)
            return
        content = parse_ssh_signature(self.signature)
        if content.public_key != self.key_blob:
            raise SignatureError("it is of another key than the recorded one")
        verify_ssh_signature(content, namespace, message)
