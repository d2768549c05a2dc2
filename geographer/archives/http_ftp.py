"""Files over HTTP and FTP: streamed, and an error when less arrives than was announced."""

from __future__ import annotations

import ftplib
import netrc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlparse

from geographer.archives.base import BytesCallback, FileInfo, SourceError
from geographer.archives.http_errors import Answer, refused, trouble, waiting
from geographer.archives.stac_properties import size_of
from geographer.base.redaction import redact_urls

TIMEOUT: Final = 30.0
"""Seconds without a byte after which a connection is given up."""

_BLOCK: Final = 64 * 1024
_NOT_THERE: Final = "550"
_CREDENTIALS: Final = "put the user and password for it into ~/.netrc (or the file that NETRC names)"


class MissingError(SourceError):
    """There is nothing at this address."""


def fetch_file(url: str, destination: Path, told: BytesCallback) -> None:
    """Write what is at an http, https or ftp `url` to `destination`.

    Raises:
        MissingError: there is nothing.
        SourceError: not all of it arrived.
        OSError: it can't be written.
    """
    if urlparse(url).scheme == "ftp":
        _fetch_ftp(url, destination, told)
    else:
        _fetch_http(url, destination, told)


def listed(url: str) -> dict[str, int | None]:
    """What a folder at `url` (which ends with '/') holds, by name, with sizes in bytes where they are told.

    It is the listing of an FTP server, or the links of an index page that lead into the folder.

    Raises:
        MissingError: there is no such folder.
        SourceError: it can't be listed.
    """
    if urlparse(url).scheme == "ftp":
        with _ftp(url) as (server, path):
            return _listing(server, path)
    with _http("GET", url) as response:
        page = _Links()
        page.feed(_text(response, url))
    addresses = [urlparse(urljoin(url, link)) for link in page.links]
    folder = urlparse(url).path
    inside = [unquote(one.path.removeprefix(folder)) for one in addresses if one.path.startswith(folder)]
    return {name.rstrip("/"): None for name in inside if name.rstrip("/")}


def stated_at(url: str) -> FileInfo | None:
    """What is stated of the file at `url`; None when there is none.

    Raises:
        SourceError: there is no telling.
    """
    try:
        if urlparse(url).scheme == "ftp":
            with _ftp(url) as (server, path):
                server.voidcmd("TYPE I")
                return FileInfo(server.size(path))
        with _http("HEAD", url) as response:
            if _is_page(response):
                return None
            return FileInfo(size_of(response.headers.get("Content-Length")))
    except MissingError:
        return None


def json_at(url: str) -> Any:
    """The JSON at `url`.

    Raises:
        SourceError: it can't be had.
    """
    with _http("GET", url) as response:
        try:
            return response.json()
        except ValueError:
            raise SourceError(f"{_shown(url)} is no JSON", retryable=True) from None


def _fetch_http(url: str, destination: Path, told: BytesCallback) -> None:
    with _http("GET", url) as response, destination.open("wb") as file:
        if _is_page(response):
            raise SourceError(
                f"{_shown(url)}: a page came instead of the file: {_CREDENTIALS}, or look at it in a browser"
            )
        announced = response.headers.get("Content-Length")
        coded = response.headers.get("Content-Encoding", "identity") != "identity"
        arrived = 0
        blocks = response.iter_content(_BLOCK)
        while block := _next(blocks, url):
            file.write(block)
            arrived += len(block)
            told(arrived)
    if announced is not None and not coded and arrived != int(announced):
        raise SourceError(f"{_shown(url)}: {arrived:,} of {int(announced):,} bytes arrived", retryable=True)


def _next(blocks: Iterator[bytes], url: str) -> bytes:
    with _translated(url):
        return next(blocks, b"")


@contextmanager
def _http(method: str, url: str) -> Iterator[Any]:
    """The answer to one request, if it is what was asked for; nothing of it is read yet."""
    import requests

    with _translated(url):
        session = requests.Session()
        response = session.request(
            method, url, stream=True, timeout=TIMEOUT, allow_redirects=True, headers={"Accept-Encoding": "identity"}
        )
    with session, response:
        if response.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            raise MissingError(f"{_shown(url)} is not there")
        if response.status_code != HTTPStatus.OK:
            answer = Answer(response.status_code, waiting(response.headers))
            raise refused(answer, _shown(url), _clean, _CREDENTIALS)
        yield response


def _text(response: Any, url: str) -> str:
    with _translated(url):
        return str(response.text)


def _fetch_ftp(url: str, destination: Path, told: BytesCallback) -> None:
    with _ftp(url) as (server, path), destination.open("wb") as file:
        server.voidcmd("TYPE I")
        announced = server.size(path)
        arrived = 0
        connection = server.transfercmd(f"RETR {path}")
        with connection:
            while block := _received(connection.recv, url):
                file.write(block)
                arrived += len(block)
                told(arrived)
        if announced is not None and arrived != announced:
            raise SourceError(f"{_shown(url)}: {arrived:,} of {announced:,} bytes arrived", retryable=True)
        server.voidresp()


def _received(receive: Callable[[int], bytes], url: str) -> bytes:
    with _translated(url):
        return receive(_BLOCK)


def _is_page(response: Any) -> bool:
    """Whether a page for people came, as archives send it in place of what they have not, or don't give to everyone."""
    return str(response.headers.get("Content-Type", "")).startswith("text/html")


def _listing(server: ftplib.FTP, path: str) -> dict[str, int | None]:
    """The names in a folder, with sizes where the server knows the command for that (RFC 3659)."""
    try:
        facts = list(server.mlsd(path, ["type", "size"]))
    except ftplib.error_perm:  # it may know the command, and have no such folder: the other command tells
        return {line.rstrip("/").rpartition("/")[2]: None for line in server.nlst(path)}
    return {name: size_of(about.get("size")) for name, about in facts if about.get("type", "file") in {"file", "dir"}}


@contextmanager
def _ftp(url: str) -> Iterator[tuple[ftplib.FTP, str]]:
    """A server that has been logged in to, and the path that the URL means there."""
    parts = urlparse(url)
    user, password = _login(parts.hostname or "")
    path = unquote(parts.path)
    with _translated(url):
        server = ftplib.FTP(timeout=TIMEOUT)
        server.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
    try:
        with _translated(url):
            server.login(user, password)
        try:
            yield server, path
        except ftplib.error_perm as error:
            if str(error).startswith(_NOT_THERE):
                raise MissingError(f"{_shown(url)} is not there") from None
            raise SourceError(f"{_shown(url)}: the archive refused ({str(error)[:3]})") from None
        except (ftplib.Error, EOFError, TimeoutError, ConnectionError) as error:
            raise trouble(error, _shown(url), _clean, _CREDENTIALS) from None
    finally:
        server.close()


def _login(host: str) -> tuple[str, str]:
    try:
        found = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        found = None
    return (found[0], found[2] or "") if found else ("anonymous", "anonymous@")


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn what went wrong with a connection into a `SourceError`; an error of the disk stays one."""
    import requests

    try:
        yield
    except ftplib.error_perm as error:
        if str(error).startswith("530"):
            raise SourceError(f"{_shown(url)}: the archive can't be logged in to: {_CREDENTIALS}") from None
        raise
    except (requests.RequestException, ftplib.Error, EOFError, TimeoutError, ConnectionError, OSError) as error:
        raise trouble(error, _shown(url), _clean, _CREDENTIALS) from None


def _shown(url: str) -> str:
    return f"'{_clean(url)}'"


def _clean(text: str) -> str:
    return str(redact_urls(text))


class _Links(HTMLParser):
    """The links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]
