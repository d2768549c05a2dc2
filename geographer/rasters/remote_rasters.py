"""Open remote rasters: GDAL reads ranges of the file, and each request names the version that is expected."""

from __future__ import annotations

import os
import re
import warnings
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.io import DatasetReader

from geographer.base.errors import ConflictError, GeographerError, NotFoundError, StorageError
from geographer.rasters.remote_address import RemoteAddress

_REQUEST_OPTIONS: Final = {"max_retry": "2", "retry_delay": "0.5", "timeout": "120", "connecttimeout": "20"}
_ENVIRONMENT: Final = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": "2",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_TIMEOUT": "120",
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
}
_STATUS: Final = re.compile(r"(?:response code|HTTP error code ?|code) ?: ?(\d{3})|\b(40[0-9]|41[0-9]|42[0-9]|5\d\d)\b")
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def open_remote_raster(address: RemoteAddress) -> DatasetReader:
    """Open a remote raster; GDAL reads its header only.

    Raises:
        NotFoundError: Nothing is at the URL.
        ConflictError: The file has another version.
        StorageError: The server cannot be reached, or refuses the request.
    """
    try:
        with rasterio.Env(**_make_environment(address)), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(_make_gdal_path(address), sharing=False)
    except RasterioIOError as error:
        raise translate_remote_error(error, address.url) from error


def translate_remote_error(error: BaseException, url: str) -> GeographerError:
    """Return the error to raise in place of one of GDAL; its text, which may quote a response, is not shown."""
    match = _STATUS.search(str(error))
    status = int(match[1] or match[2]) if match else None
    if status == 412:
        return ConflictError(
            f"remote raster '{url}' has changed since the log recorded it. See geographer verify; to record the new "
            "version: geographer add rasters URL --mode reference --replace."
        )
    if status == 404:
        return NotFoundError(f"nothing is at '{url}' (404). Check the URL, or who moved the file.")
    if status in (401, 403):
        return StorageError(
            f"the server of '{url}' refuses to send it ({status}). Put credentials where GDAL finds them: ~/.netrc, "
            "GDAL_HTTP_HEADER_FILE or AWS_ACCESS_KEY_ID."
        )
    reason = f"the server answered {status}" if status else "its server cannot be reached, or what it sent is no raster"
    return StorageError(
        f"cannot read remote raster '{url}': {reason}. Check URL and network, and run the command again."
    )


def _make_gdal_path(address: RemoteAddress) -> str:
    parts = urlsplit(address.url)
    if parts.scheme.lower() == "s3":
        return f"/vsis3/{parts.netloc}/{parts.path.lstrip('/')}"
    # GDAL keeps what it read by URL: the fragment, which is not sent, tells versions apart.
    url = f"{address.url}#{quote(address.etag or '', safe='')}"
    fields = {**_REQUEST_OPTIONS, "list_dir": "no", "empty_dir": "yes", "url": url}
    return f"/vsicurl?{urlencode(fields, quote_via=lambda text, *_: quote(text, safe=''))}"


def _make_environment(address: RemoteAddress) -> dict[str, Any]:
    """Return the settings of GDAL under which a file is opened; it keeps them for all requests of that file."""
    settings: dict[str, Any] = dict(_ENVIRONMENT)
    if address.etag and not address.etag.startswith("W/"):
        tag = address.etag.replace("\\", "\\\\").replace('"', '\\"')
        settings["GDAL_HTTP_HEADERS"] = f'"If-Match: {tag}"'
    if address.url.lower().startswith("s3://"):
        settings["CPL_VSIL_CURL_NON_CACHED"] = _make_gdal_path(address)
        endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
        if endpoint and "AWS_S3_ENDPOINT" not in os.environ:
            parts = urlsplit(endpoint)
            settings |= {"AWS_S3_ENDPOINT": parts.netloc, "AWS_VIRTUAL_HOSTING": "FALSE"}
            settings["AWS_HTTPS"] = "NO" if parts.scheme == "http" else "YES"
    return settings
