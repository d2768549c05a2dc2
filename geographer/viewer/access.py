"""Access: who may ask the viewer, by token, host and method, and the headers of its answers."""

from __future__ import annotations

import hmac
import html
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_TOKEN_BYTES: Final = 16
_HOST_NAMES: Final = (LOOPBACK, "localhost")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "worker-src blob:; child-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "geographer",
}
"""The headers of every answer: no other host is asked, no other page may embed or read it, nothing is kept."""


def write_redirect(folder: Path, address: str) -> Path:
    """Write a page that leads to an address, which only the user can read; return its path.

    Other users of the machine see the arguments of programs, so a browser must not get the address, which has the
    token, as an argument.
    """
    path = folder / "open.html"
    path.touch(mode=0o600)
    path.write_text(
        f'<!doctype html><meta http-equiv="refresh" content="0;url={html.escape(address)}"><title>geographer</title>'
    )
    return path


def make_token() -> str:
    """Return a new secret of 128 bits for the address of the page."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def is_token(candidate: str, token: str) -> bool:
    """Return whether a text is the token; the time that this takes does not depend on the text."""
    return hmac.compare_digest(candidate.encode(errors="surrogatepass"), token.encode())


def is_known_host(host: str, port: int) -> bool:
    """Return whether a request names this server; one by another name was sent here by a page's DNS (rebinding)."""
    return host.lower() in [f"{name}:{port}" for name in _HOST_NAMES]
