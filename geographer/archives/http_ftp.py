"""Download files over HTTP and FTP: streamed to disk, with an error if fewer bytes arrive than announced."""

from __future__ import annotations

import ftplib
import netrc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlparse

from geographer.archives.base import BytesCallback, FileInfo
from geographer.archives.http_errors import HttpResponseInfo, make_status_error, parse_retry_after, to_source_error
from geographer.archives.stac_properties import parse_size
from geographer.base.errors import SourceError
from geographer.base.redaction import redact_urls

TIMEOUT_S: Final = 30.0
"""Seconds without a byte after which a connection is closed."""

_BLOCK_SIZE: Final = 64 * 1024
_FTP_NOT_FOUND: Final = "550"
_FTP_LOGIN_FAILED: Final = "530"
_CREDENTIALS_HINT: Final = "put user and password for this host into ~/.netrc (or the file that NETRC names)"


class UrlNotFoundError(SourceError):
    """No file or folder exists at the URL."""


def fetch_file(url: str, destination: Path, on_progress: BytesCallback) -> None:
    """Download the file at an http, https or ftp `url` to `destination`.

    Raises:
        UrlNotFoundError: the file does not exist.
        SourceError: the download failed or is incomplete.
        OSError: `destination` cannot be written.
    """
    if urlparse(url).scheme == "ftp":
        _fetch_ftp(url, destination, on_progress)
    else:
        _fetch_http(url, destination, on_progress)


def list_directory(url: str) -> dict[str, FileInfo]:
    """Return the names in the folder at `url` (ends with '/'), with what the server states about each.

    Reads the listing of an FTP server, or the links of an HTML index page that lead into the folder.

    Raises:
        UrlNotFoundError: the folder does not exist.
        SourceError: the folder cannot be listed.
    """
    if urlparse(url).scheme == "ftp":
        with _open_ftp(url) as (server, path):
            return _list_ftp(server, path)
    with _open_http("GET", url) as response:
        parser = _LinkParser()
        with _translate_errors(url):
            html = str(response.text)
        parser.feed(html)
    folder = urlparse(url).path
    link_paths = [urlparse(urljoin(url, link)).path for link in parser.links]
    names = [unquote(path.removeprefix(folder)).rstrip("/") for path in link_paths if path.startswith(folder)]
    return {name: FileInfo() for name in names if name}


def read_file_info(url: str) -> FileInfo | None:
    """Return what the server states about the file at `url`; None if the file does not exist.

    Raises:
        SourceError: the server cannot be asked.
    """
    try:
        if urlparse(url).scheme == "ftp":
            with _open_ftp(url) as (server, path):
                server.voidcmd("TYPE I")
                return FileInfo(server.size(path))
        with _open_http("HEAD", url) as response:
            if _is_html(response):
                return None
            return FileInfo(parse_size(response.headers.get("Content-Length")))
    except UrlNotFoundError:
        return None


def get_json(url: str) -> Any:
    """Return the parsed JSON document at `url`.

    Raises:
        SourceError: it cannot be downloaded or is not JSON.
    """
    with _open_http("GET", url) as response:
        try:
            return response.json()
        except ValueError:
            raise SourceError(f"{_quote_url(url)} is not a JSON document", retryable=True) from None


def _fetch_http(url: str, destination: Path, on_progress: BytesCallback) -> None:
    with _open_http("GET", url) as response:
        if _is_html(response):
            raise SourceError(
                f"{_quote_url(url)}: the archive sent an HTML page instead of the file. If it requires a login, "
                f"{_CREDENTIALS_HINT}; otherwise open the URL in a browser."
            )
        is_encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        announced = None if is_encoded else parse_size(response.headers.get("Content-Length"))
        blocks = response.iter_content(_BLOCK_SIZE)
        _write_blocks(url, lambda: next(blocks, b""), announced, destination, on_progress)


def _write_blocks(
    url: str, read: Callable[[], bytes], announced: int | None, destination: Path, on_progress: BytesCallback
) -> None:
    """Write what `read` returns until it is empty. Only errors of reading are translated, not those of the disk."""
    n_bytes = 0
    with destination.open("wb") as file:
        while True:
            with _translate_errors(url):
                block = read()
            if not block:
                break
            file.write(block)
            n_bytes += len(block)
            on_progress(n_bytes)
    if announced is not None and n_bytes != announced:
        raise SourceError(f"{_quote_url(url)}: {n_bytes:,} of {announced:,} bytes arrived", retryable=True)


@contextmanager
def _open_http(method: str, url: str) -> Iterator[Any]:
    """Yield the response to one request, with status 200 and its body not yet read."""
    import requests

    with _translate_errors(url):
        session = requests.Session()
        response = session.request(
            method, url, stream=True, timeout=TIMEOUT_S, allow_redirects=True, headers={"Accept-Encoding": "identity"}
        )
    with session, response:
        if response.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            raise UrlNotFoundError(f"{_quote_url(url)} does not exist")
        if response.status_code != HTTPStatus.OK:
            info = HttpResponseInfo(response.status_code, parse_retry_after(response.headers))
            raise make_status_error(info, _quote_url(url), redact_urls, _CREDENTIALS_HINT)
        yield response


def _fetch_ftp(url: str, destination: Path, on_progress: BytesCallback) -> None:
    with _open_ftp(url) as (server, path):
        server.voidcmd("TYPE I")
        announced = server.size(path)
        with server.transfercmd(f"RETR {path}") as connection:
            _write_blocks(url, lambda: connection.recv(_BLOCK_SIZE), announced, destination, on_progress)
        server.voidresp()


def _is_html(response: Any) -> bool:
    """Return whether the response is an HTML page: archives send one for missing files and for logins."""
    return str(response.headers.get("Content-Type", "")).startswith("text/html")


def _list_ftp(server: ftplib.FTP, path: str) -> dict[str, FileInfo]:
    """List a folder with MLSD (RFC 3659), which states sizes, or else with NLST."""
    try:
        entries = list(server.mlsd(path, ["type", "size"]))
    except ftplib.error_perm:  # MLSD is unknown, or the folder does not exist: NLST tells which.
        return {line.rstrip("/").rpartition("/")[2]: FileInfo() for line in server.nlst(path)}
    files = [(name, facts) for name, facts in entries if facts.get("type", "file") in {"file", "dir"}]
    return {name: FileInfo(parse_size(facts.get("size"))) for name, facts in files}


@contextmanager
def _open_ftp(url: str) -> Iterator[tuple[ftplib.FTP, str]]:
    """Yield a logged-in FTP connection and the path of the URL on it."""
    parts = urlparse(url)
    host = parts.hostname or ""
    with closing(ftplib.FTP(timeout=TIMEOUT_S)) as server:
        with _translate_errors(url):
            server.connect(host, parts.port or ftplib.FTP_PORT)
            server.login(*_find_login(host))
        try:
            yield server, unquote(parts.path)
        except ftplib.error_perm as error:
            if str(error).startswith(_FTP_NOT_FOUND):
                raise UrlNotFoundError(f"{_quote_url(url)} does not exist") from None
            raise SourceError(f"{_quote_url(url)}: the archive rejected the request ({str(error)[:3]})") from None
        except (ftplib.Error, EOFError, TimeoutError, ConnectionError) as error:
            raise to_source_error(error, _quote_url(url), redact_urls, _CREDENTIALS_HINT) from None


def _find_login(host: str) -> tuple[str, str]:
    try:
        login = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        login = None
    return (login[0], login[2] or "") if login else ("anonymous", "anonymous@")


@contextmanager
def _translate_errors(url: str) -> Iterator[None]:
    """Raise errors of the connection as `SourceError`. FTP's permanent errors pass, except a failed login."""
    import requests

    try:
        yield
    except ftplib.error_perm as error:
        if str(error).startswith(_FTP_LOGIN_FAILED):
            raise SourceError(f"{_quote_url(url)}: the login failed: {_CREDENTIALS_HINT}") from None
        raise
    except (requests.RequestException, ftplib.Error, EOFError, OSError) as error:
        raise to_source_error(error, _quote_url(url), redact_urls, _CREDENTIALS_HINT) from None


def _quote_url(url: str) -> str:
    return f"'{redact_urls(url)}'"


class _LinkParser(HTMLParser):
    """Collects the link targets of an HTML page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]
