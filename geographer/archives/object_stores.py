"""Download files from object stores (S3, Google Cloud Storage, Azure) through fsspec."""

from pathlib import Path
from typing import Final
from urllib.parse import urlparse

from geographer.archives.base import BytesCallback
from geographer.archives.http_errors import is_disk_error, to_source_error
from geographer.base.errors import AccessDeniedError, SourceError
from geographer.base.redaction import redact_text

_PROTOCOLS: Final = frozenset({"s3", "gs", "gcs", "az", "abfs", "abfss"})
_LOGIN_ERRORS: Final = frozenset({"NoCredentialsError", "PartialCredentialsError", "PermissionError"})
_CREDENTIALS_HINT: Final = "set the environment variables of the store, such as AWS_ACCESS_KEY_ID"
_BLOCK_SIZE: Final = 1 << 20


def is_object_url(url: str) -> bool:
    """Return whether a file at `url` lies in an object store."""
    return urlparse(url).scheme in _PROTOCOLS


def fetch_object(url: str, destination: Path, on_progress: BytesCallback) -> None:
    """Download the object at `url`; credentials are those of the environment.

    Raises:
        SourceError: a package is missing, the object does not exist, or not all of its bytes arrive.
        AccessDeniedError: credentials are missing or wrong.
        OSError: the disk cannot be written.
    """
    import fsspec

    subject = f"'{redact_text(url)}'"
    try:
        file_system, path = fsspec.core.url_to_fs(url)
        announced, n_bytes = file_system.size(path), 0
        with file_system.open(path, "rb") as remote_file, destination.open("wb") as file:
            while block := remote_file.read(_BLOCK_SIZE):
                n_bytes += file.write(block)
                on_progress(n_bytes)
    except ImportError as error:
        raise SourceError(f"{subject} needs a package that is not installed ({error}).") from None
    except FileNotFoundError as error:
        if error.filename == str(destination):
            raise
        raise SourceError(f"{subject} does not exist") from None
    except Exception as error:
        if is_disk_error(error) and not isinstance(error, PermissionError):
            raise
        if type(error).__name__ in _LOGIN_ERRORS:
            raise AccessDeniedError(f"{subject}: credentials are missing or wrong: {_CREDENTIALS_HINT}.") from None
        raise to_source_error(error, subject, redact_text, _CREDENTIALS_HINT) from None
    if announced is not None and n_bytes != announced:
        raise SourceError(f"{subject}: {n_bytes:,} of {announced:,} bytes arrived", retryable=True)
