"""Remote files: what pins the version of a raster at a URL, and whether the server still has that version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError, CorruptError, GeographerError, NotFoundError, StorageError, UsageError
from geographer.storage.workspace.roots import Roots, split_root

_TIMEOUT: Final = (20, 60)
"""Seconds to connect, and to wait for an answer."""
_BLOCK: Final = 1 << 20
_PARTIAL: Final = {"Range": "bytes=0-0"}


class RemoteVersion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version of a remote file, as the log records it in place of a path.

    Attributes:
        url: The URL, without credentials; `{NAME}/PATH` lies under the URL that this machine has set for a root.
        etag: The entity tag that the server gave, with its quotes.
        modified: The time of the last change that the server gave.
        version: The version id of a bucket in S3.
    """

    url: str
    etag: str | None = None
    modified: str | None = None
    version: str | None = None

    def to_path(self) -> str:
        """Return what the log records as path: canonical JSON."""
        return canonical_json(msgspec.to_builtins(self))

    def compute_digest(self) -> str:
        """Return what the log records as SHA-256 of a file whose bytes were not hashed: that of the path."""
        return hashlib.sha256(self.to_path().encode()).hexdigest()

    @property
    def is_pinned(self) -> bool:
        """Whether a change of the file can be noticed."""
        return bool(self.etag or self.modified or self.version)

    def describe_version(self, size: int | None) -> str:
        """Return the version in words."""
        parts = (f"version {self.version}" if self.version else "", f"ETag {self.etag}" if self.etag else "")
        modified = f"changed {self.modified}" if self.modified and not self.etag else ""
        return ", ".join(filter(None, (*parts, modified, "" if size is None else f"{size:,} bytes")))


class FoundVersion(NamedTuple):
    """The version of a remote file that a server has now, and its size in bytes if the server says it."""

    version: RemoteVersion
    size: int | None


def parse_remote_version(path: str | None) -> RemoteVersion:
    """Return the version that the log records as path; `ValueError` if it is none."""
    version = msgspec.json.decode(path or "", type=RemoteVersion)
    name, relative = split_root(version.url)
    parts = urlsplit(version.url)
    is_url = parts.scheme in ("http", "https", "s3") and parts.netloc and parts.path.strip("/")
    if version.to_path() != path or not (relative if name else is_url) or parts.query or parts.fragment:
        raise ValueError("the version is not in canonical form")
    return version


def find_remote_fault(path: str | None) -> str | None:
    """Return why a path cannot be that of a remote raster, about as the macro in `path_fault.sql`; None if it can."""
    try:
        parse_remote_version(path)
    except (ValueError, msgspec.MsgspecError):
        return "its path does not describe a version of a remote file"
    return None


def read_remote_version(url: str) -> FoundVersion:
    """Ask the server for the version of a file, without its bytes.

    Raises:
        NotFoundError: nothing is at the URL.
        StorageError: the server cannot be reached, or refuses the request.
        UsageError: a package for object stores is missing.
    """
    if urlsplit(url).scheme == "s3":
        return _read_object_version(url)
    return _read_http_version(url)


def locate_remote_raster(roots: Roots, path: str) -> tuple[RemoteVersion, Path, str | None]:
    """Return the recorded version with the URL at which this machine reads it, its address, and the root not set here.

    `CorruptError` if the recorded path is none.
    """
    from geographer.rasters.remote_address import RemoteAddress

    if fault := find_remote_fault(path):
        raise CorruptError(f"cannot use the path {path!r} of a remote raster: {fault}. Run geographer verify.")
    recorded = parse_remote_version(path)
    name, relative = split_root(recorded.url)
    base = roots.url_by_name.get(name)
    if name and base is not None:
        recorded = msgspec.structs.replace(recorded, url=f"{base.rstrip('/')}/{relative}")
    return recorded, RemoteAddress(recorded.url, recorded.etag).to_path(), name if name and base is None else None


def require_version(recorded: RemoteVersion, size: int | None) -> None:
    """Raise `ConflictError` if the server has another version than the recorded one; see `read_remote_version`, too."""
    url = recorded.url
    if difference := find_version_difference(recorded, size, read_remote_version(url)):
        raise ConflictError(
            f"remote raster '{url}' is not the recorded version: {difference}. Record what is there now with "
            f"geographer add rasters {url} --mode reference --replace, or put the recorded version back."
        )


def find_version_difference(recorded: RemoteVersion, size: int | None, found: FoundVersion) -> str | None:
    """Return how the version that a server has differs from the recorded one; None: it is that."""
    now = found.version
    if recorded.version and now.version:
        is_same = recorded.version == now.version
    elif recorded.etag and now.etag:
        is_same = recorded.etag.removeprefix("W/") == now.etag.removeprefix("W/")
    else:
        is_same = recorded.modified is not None and recorded.modified == now.modified
    if is_same and (None in (size, found.size) or size == found.size):
        return None
    present = now.describe_version(found.size) or "without ETag and Last-Modified"
    return f"recorded {recorded.describe_version(size)}, now {present}"


def iter_remote_bytes(version: RemoteVersion) -> Iterator[bytes]:
    """Yield all bytes of a version of a remote file; errors as for `read_remote_version`."""
    import requests

    url = version.url
    try:
        if urlsplit(url).scheme == "s3":
            import fsspec

            with fsspec.open(url, "rb") as file:
                yield from iter(lambda: file.read(_BLOCK), b"")
            return
        headers = {"Accept-Encoding": "identity"}
        with requests.get(url, headers=headers, timeout=_TIMEOUT, stream=True) as response:
            response.raise_for_status()
            yield from response.iter_content(_BLOCK)
    except (OSError, requests.RequestException) as error:
        reason = type(error).__name__
        raise StorageError(f"remote raster '{url}' cannot be read to its end ({reason}). Run it again.") from None


def _read_http_version(url: str) -> FoundVersion:
    import requests

    headers = {"Accept-Encoding": "identity"}
    try:
        response = requests.head(url, headers=headers, timeout=_TIMEOUT, allow_redirects=True)
        if response.status_code in (403, 405, 501):  # Signed URLs and some servers answer GET only.
            response = requests.get(url, headers={**headers, **_PARTIAL}, timeout=_TIMEOUT, stream=True)
            response.close()
    except requests.RequestException as error:
        raise StorageError(
            f"the server of '{url}' cannot be reached ({type(error).__name__}). Check the network."
        ) from None
    if response.status_code >= 400:
        from geographer.rasters.remote_rasters import translate_remote_error

        raise translate_remote_error(Exception(f"HTTP error code: {response.status_code}"), url)
    return FoundVersion(
        RemoteVersion(url, response.headers.get("ETag"), response.headers.get("Last-Modified")),
        _read_size(response.headers, is_partial=response.status_code == 206),
    )


def _read_size(headers: Mapping[str, str], *, is_partial: bool) -> int | None:
    text = headers.get("Content-Range", "").rpartition("/")[2] if is_partial else headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _read_object_version(url: str) -> FoundVersion:
    facts = _fetch_object_facts(url)
    etag = str(facts.get("ETag") or "")
    modified = facts.get("LastModified")
    version = facts.get("VersionId")
    return FoundVersion(
        RemoteVersion(
            url,
            f'"{etag.strip(chr(34))}"' if etag else None,
            modified.isoformat() if modified is not None else None,
            version if version and version != "null" else None,
        ),
        facts.get("size"),
    )


def _fetch_object_facts(url: str) -> Mapping[str, Any]:
    import os

    import fsspec

    options = {"anon": True} if os.environ.get("AWS_NO_SIGN_REQUEST", "").upper() in ("YES", "TRUE", "1") else {}
    try:
        file_system, path = fsspec.core.url_to_fs(url, **options)
        file_system.invalidate_cache()
        facts: Mapping[str, Any] = file_system.info(path)
    except ImportError:
        raise UsageError(
            f"'{url}' needs a package that is not installed: pip install 'geographer-datasets[s3]'"
        ) from None
    except FileNotFoundError:
        raise NotFoundError(f"nothing is at '{url}'. Check the bucket and the key.") from None
    except GeographerError:
        raise
    except Exception as error:
        reason = (
            "refuses the request" if isinstance(error, PermissionError) else f"cannot be read ({type(error).__name__})"
        )
        raise StorageError(
            f"the object store of '{url}' {reason}. Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL "
            "and the network; for public buckets set AWS_NO_SIGN_REQUEST=YES."
        ) from None
    return facts
