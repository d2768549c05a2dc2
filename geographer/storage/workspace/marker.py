"""Workspace marker: the revision whose files the workspace shows, in `.geographer/workspace.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import duckdb
import msgspec

from geographer.base.atomic_files import temporary_sibling
from geographer.base.errors import StorageError
from geographer.storage.database.connection import DEFAULT_BRANCH
from geographer.storage.log.chain import CHAIN_EVENT

_EVENT: Final = f"SELECT 1 FROM {CHAIN_EVENT} WHERE position = $1 AND digest = coalesce($2, digest)"  # noqa: S608


class WorkspaceMarker(msgspec.Struct, frozen=True, rename={"is_requested": "chosen"}):
    """The position of the workspace's files; None while they are being changed, or when it is not known.

    `is_requested` is true if a user checked out that position: then it does not follow the head. `digest` is that of
    the event there; version 0.1.0 did not record it. `dvc_files` are the `.dvc` files by path, with the status of each.
    `branch` is the branch in use.
    """

    position: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)] | None
    is_requested: bool = False
    digest: str | None = None
    dvc_files: dict[str, str] = {}
    branch: str = DEFAULT_BRANCH


def read_marker(path: Path) -> WorkspaceMarker:
    """Read the marker; the position is not known if it is missing or damaged. See also `is_marker_of_log`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=WorkspaceMarker)
    except (OSError, ValueError, msgspec.MsgspecError):
        return WorkspaceMarker(None)


def is_marker_of_log(marker: WorkspaceMarker, connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the attached log has the event that the marker names: the folder may have got another log."""
    return connection.execute(_EVENT, [marker.position, marker.digest]).fetchone() is not None


def write_marker(path: Path, marker: WorkspaceMarker) -> None:
    """Write the marker atomically; `StorageError` if the disk is full or cannot be written."""
    try:
        with temporary_sibling(path) as temporary:
            temporary.write_bytes(msgspec.json.encode(marker))
            temporary.replace(path)
    except OSError as error:
        advice = "Free some space or move it away; the next command updates the workspace."
        raise StorageError(f"cannot write '{path}' ({error.strerror}). {advice}") from error
