"""Trusted keys: a file `allowed_signers` as OpenSSH and Git use it, lines of public keys, or public keys in PEM."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.errors import NotFoundError, UsageError
from geographer.base.signatures.public_keys import PEM_HEADER, SignatureError, decode_public_key, read_strings

_PEM: Final = re.compile(rf"{PEM_HEADER}.*?-----END PUBLIC KEY-----", re.DOTALL)
_OPTION: Final = re.compile(r'(cert-authority|namespaces|valid-after|valid-before)(?:="([^"]*)")?(?:,(?=.)|$)', re.I)
_KEY: Final = re.compile(
    r"(?:^|\s)(?P<kind>(?:sk-)?(?:ssh|ecdsa)-[\w.@-]+)\s+(?P<blob>[A-Za-z0-9+/]{20,}={0,2})(?=\s|$)"
)


class TrustedKey(NamedTuple):
    """A public key that a user trusts.

    Attributes:
        names: Whose key it is: the principals of the line, such as `ada@example.org`, or the name of the file.
        blob: The key in SSH's wire format.
        namespaces: Patterns of namespaces that it may sign for, `!` before those that it may not; None: all.
        valid_after, valid_before: When it may sign, in UTC; None: always.
    """

    names: str
    blob: bytes
    namespaces: tuple[str, ...] | None = None
    valid_after: datetime | None = None
    valid_before: datetime | None = None

    def find_restriction(self, namespace: str, time: datetime) -> str | None:
        """Return why the key may not sign for a namespace at a time in UTC; None if it may."""
        if self.namespaces is not None:
            matching = [pattern for pattern in self.namespaces if fnmatchcase(namespace, pattern.removeprefix("!"))]
            if not matching or any(pattern.startswith("!") for pattern in matching):
                return f"may sign for the namespaces {', '.join(self.namespaces)} only, not for {namespace}"
        if self.valid_after and time < self.valid_after:
            return f"is valid from {self.valid_after:%Y-%m-%d} on only"
        if self.valid_before and time >= self.valid_before:
            return f"was valid until {self.valid_before:%Y-%m-%d} only"
        return None


def read_trusted_keys(path: Path) -> list[TrustedKey]:
    """Return the keys of a file. Lines that name certificate authorities are left out.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it has no public key, or a line that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFoundError(f"no file '{path}' with trusted keys. Use an allowed_signers file, or PEM.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read trusted keys from '{path}'. Use an allowed_signers file, or PEM.") from error
    if "PRIVATE KEY-----" in text:
        raise UsageError(f"'{path}' holds a private key. Name the file of the public key.")
    keys = [TrustedKey(path.name, decode_public_key(pem)) for pem in _PEM.findall(text)]
    keys = keys or list(_parse_lines(text, path))
    if not keys:
        raise UsageError(f"'{path}' has no public key. Use an allowed_signers file, or public keys in PEM.")
    return keys


def _parse_lines(text: str, path: Path) -> Iterator[TrustedKey]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _KEY.search(line)
        try:
            blob = b64decode(match["blob"], validate=True) if match else b""
            if match is None or read_strings(blob, 1)[0] != match["kind"].encode():
                raise ValueError("no key")
            names, options = _split_names(line[: match.start()].strip())
            parsed = _parse_options(options.strip())
            if "cert-authority" not in parsed:
                times = (_parse_time(parsed.get(name)) for name in ("valid-after", "valid-before"))
                spaces = tuple(parsed["namespaces"].split(",")) if "namespaces" in parsed else None
                yield TrustedKey(names or line[match.end() :].strip() or path.name, blob, spaces, *times)
        except (ValueError, SignatureError) as error:
            raise UsageError(
                f"line {number} of '{path}' has no public key or options that can be read. Write: NAME ssh-ed25519 "
                'AAAA…, or NAME namespaces="geographer",valid-before="20270101" ssh-ed25519 AAAA…'
            ) from error


def _split_names(text: str) -> tuple[str, str]:
    """Return the names at the beginning of a line, which are quoted if they have spaces, and the options after them."""
    match = re.match(r'"(?P<quoted>[^"]*)"|(?P<plain>\S*)', text)
    assert match is not None
    if _OPTION.match(match["plain"] or ""):
        raise ValueError("options without a name")
    return match["quoted"] or match["plain"] or "", text[match.end() :]


def _parse_options(text: str) -> dict[str, str]:
    """Return the values of options; ValueError for what OpenSSH refuses, too: unknown, repeated or without quotes."""
    parsed: dict[str, str] = {}
    place = 0
    while place < len(text):
        match = _OPTION.match(text, place)
        if match is None or match[1].lower() in parsed or (match[2] is None) != (match[1].lower() == "cert-authority"):
            raise ValueError("an option that cannot be read")
        parsed[match[1].lower()] = match[2] or ""
        place = match.end()
    return parsed


def _parse_time(text: str | None) -> datetime | None:
    """Return the time of `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, in local time unless it ends with Z."""
    if not text:
        return None
    digits = text.removesuffix("Z")
    time = datetime.strptime(digits, {8: "%Y%m%d", 12: "%Y%m%d%H%M"}.get(len(digits), "%Y%m%d%H%M%S"))
    return (time.replace(tzinfo=UTC) if text.endswith("Z") else time).astimezone(UTC)
