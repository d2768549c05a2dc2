"""Download files over HTTP and FTP: streamed to disk, with an error if fewer bytes arrive than announced."""

import ftplib
import re
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from html import unescape
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlparse

from geographer.archives.base import BytesCallback, FileInfo
from geographer.archives.http_errors import is_disk_error, to_source_error
from geographer.archives.stac_items import parse_size
from geographer.base.errors import AccessDeniedError, SourceError
from geographer.base.redaction import redact_text

TIMEOUT_S: Final = 30.0
"""Seconds without a byte after which a connection is closed."""

_BLOCK_SIZE: Final = 64 * 1024
_LINK: Final = re.compile(r"""<a\s[^>]*?href\s*=\s*["']?([^"'>\s]+)""", re.IGNORECASE)
CREDENTIALS_HINT: Final = "put user and password for this host into ~/.netrc (or the file that NETRC names)"


class UrlNotFoundError(SourceError):
    """No file or folder exists at the URL."""


def fetch_file(url: str, destination: Path, on_progress: BytesCallback) -> None:
    """Download the file at `url`, or raise `UrlNotFoundError`, `SourceError`, or an `OSError` of the disk."""
    if is_ftp(url):
        with _open_ftp(url) as (server, path):
            announced = server.size(path)
            with server.transfercmd(f"RETR {path}") as connection:
                blocks = iter(lambda: connection.recv(_BLOCK_SIZE), b"")
                _write_blocks(url, blocks, announced, destination, on_progress)
            server.voidresp()
        return
    with _open_http("GET", url) as response:
        if _is_html(response):
            raise AccessDeniedError(
                f"'{redact_text(url)}': the archive sent an HTML page instead of the file. If it requires a login, "
                f"{CREDENTIALS_HINT}; otherwise open the URL in a browser."
            )
        is_encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        announced = None if is_encoded else parse_size(response.headers.get("Content-Length"))
        _write_blocks(url, response.iter_content(_BLOCK_SIZE), announced, destination, on_progress)


def list_directory(url: str) -> dict[str, FileInfo]:
    """Return the names in the folder at `url` (ends with '/'), with what the server states about each.

    Reads the listing of an FTP server, or the links of an HTML index page that lead into the folder; `SourceError` if
    it does not exist or cannot be listed.
    """
    if is_ftp(url):
        return _list_ftp(url)
    with _open_http("GET", url) as response:
        links = [unescape(link) for link in _LINK.findall(response.text)]
    folder = urlparse(url).path
    paths = [urlparse(urljoin(url, link)).path for link in links]
    names = [unquote(path.removeprefix(folder)).rstrip("/") for path in paths if path.startswith(folder)]
    return {name: FileInfo() for name in names if name}


def read_file_info(url: str) -> FileInfo | None:
    """Return what the server states about the file at `url` (else `SourceError`); None if the file does not exist."""
    try:
        if is_ftp(url):
            with _open_ftp(url) as (server, path):
                return FileInfo(server.size(path))
        with _open_http("HEAD", url) as response:
            return None if _is_html(response) else FileInfo(parse_size(response.headers.get("Content-Length")))
    except UrlNotFoundError:
        return None


def get_json(url: str) -> Any:
    """Return the parsed JSON document at `url`; raise `SourceError` if it cannot be downloaded or is not JSON."""
    with _open_http("GET", url) as response:
        try:
            return response.json()
        except ValueError:
            raise SourceError(f"'{redact_text(url)}' is not a JSON document", retryable=True) from None


def _write_blocks(
    url: str, blocks: Iterable[bytes], announced: int | None, destination: Path, on_progress: BytesCallback
) -> None:
    n_bytes = 0
    with destination.open("wb") as file:
        for block in blocks:
            n_bytes += file.write(block)
            on_progress(n_bytes)
    if announced is not None and n_bytes != announced:
        raise SourceError(f"'{redact_text(url)}': {n_bytes:,} of {announced:,} bytes arrived", retryable=True)


def is_ftp(url: str) -> bool:
    """Return whether the server at `url` is one for FTP."""
    return urlparse(url).scheme == "ftp"


def _is_html(response: Any) -> bool:
    """Return whether the response is an HTML page: archives send one for missing files and for logins."""
    return str(response.headers.get("Content-Type", "")).startswith("text/html")


@contextmanager
def _open_http(method: str, url: str) -> Iterator[Any]:
    """Yield the response to one request, with status 200 and its body not yet read."""
    import requests

    request = partial(requests.request, stream=True, timeout=TIMEOUT_S, headers={"Accept-Encoding": "identity"})
    with _translate_errors(url), request(method, url) as response:
        if response.status_code != HTTPStatus.OK:
            raise requests.HTTPError(response=response)
        yield response


@contextmanager
def _open_ftp(url: str) -> Iterator[tuple[ftplib.FTP, str]]:
    from requests.utils import get_netrc_auth

    parts = urlparse(url)
    with _translate_errors(url), closing(ftplib.FTP(timeout=TIMEOUT_S)) as server:
        server.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
        server.login(*(get_netrc_auth(url) or ()))
        server.voidcmd("TYPE I")
        yield server, unquote(parts.path)


def _list_ftp(url: str) -> dict[str, FileInfo]:
    """List a folder with MLSD (RFC 3659), which states sizes, or else with NLST."""
    with _open_ftp(url) as (server, path):
        try:
            entries = list(server.mlsd(path, ["type", "size"]))
        except ftplib.error_perm:  # MLSD is unknown, or the folder does not exist: NLST tells which.
            return {line.rstrip("/").rpartition("/")[2]: FileInfo() for line in server.nlst(path)}
    files = [(name, facts) for name, facts in entries if facts.get("type", "file") in {"file", "dir"}]
    return {name: FileInfo(parse_size(facts.get("size"))) for name, facts in files}


@contextmanager
def _translate_errors(url: str) -> Iterator[None]:
    """Raise errors of the server and the connection as `SourceError`; those of the disk pass."""
    subject = f"'{redact_text(url)}'"
    try:
        yield
    except ftplib.all_errors as error:  # OSError is one of them, and the base class of all errors of requests.
        if is_disk_error(error):
            raise
        ftp_status = str(error)[:3] if isinstance(error, ftplib.error_perm) else ""
        http_status = getattr(getattr(error, "response", None), "status_code", None)
        if ftp_status == "550" or http_status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            raise UrlNotFoundError(f"{subject} does not exist") from None
        if ftp_status:
            rejected = f"the archive rejected the request ({ftp_status})"
            if ftp_status == "530":
                raise AccessDeniedError(f"{subject}: the login failed: {CREDENTIALS_HINT}") from None
            raise SourceError(f"{subject}: {rejected}") from None
        raise to_source_error(error, subject, redact_text, CREDENTIALS_HINT) from None
