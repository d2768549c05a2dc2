"""Published revision: what a head on a remote says, and what this machine knows of each remote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from geographer.base.atomic_files import write_atomic
from geographer.base.errors import CorruptError, UnsupportedVersionError, UsageError
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER
from geographer.storage.events.payload import Digest, Name

HEAD_FORMAT: Final = 1
"""The format of new heads; this version reads it."""

RevisionSelection = Literal["all", "tags", "current"]
"""The revisions whose objects are kept or sent: every one, the head and all tags, or the head alone."""
Address = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\.dir$")]


class PublishedRevision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a published head says; `schemas/head.v1.json` describes it.

    Attributes:
        format: The format of the head.
        dataset: The digest of the dataset's first event.
        branch: The branch.
        position: The position of the last event in the branch.
        head: The digest of the last event.
        content_digest: The content digest of the revision.
        history: The address of the listing of the history folder, whose segments hold the events.
        revisions: Of which revisions the remote had all objects when the head was published.
    """

    format: Annotated[int, Meta(ge=1)]
    dataset: Digest
    branch: Name
    position: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    head: Digest
    content_digest: Digest
    history: Address
    revisions: RevisionSelection


class KnownRemote(msgspec.Struct, frozen=True):
    """What this machine last saw of a branch on a remote.

    Attributes:
        number: The number of the head.
        published: The head.
        url: The URL of the remote, without credentials: with another one, the remote is another one.
        withdrawn: A digest of the withdrawn files that this machine has deleted there; empty: none.
    """

    number: int
    published: PublishedRevision
    url: str = ""
    withdrawn: str = ""


def check_selection(selection: object) -> None:
    """Raise `UsageError` unless it is a selection of revisions."""
    if selection not in get_args(RevisionSelection):
        raise UsageError(f"invalid revisions {selection!r}. Use 'tags', 'all' or 'current'.")


def encode_published(published: PublishedRevision) -> bytes:
    """Return the bytes of a head: a JSON object."""
    return msgspec.json.format(msgspec.json.encode(published), indent=2) + b"\n"


def parse_published(content: bytes, name: str, branch: str) -> PublishedRevision:
    """Parse a head of a branch on the remote `name`.

    Raises:
        UnsupportedVersionError: a newer version of geographer wrote it.
        CorruptError: it is something else.
    """
    try:
        head_format = msgspec.json.decode(content, type=_HeadFormat).format
        if head_format > HEAD_FORMAT:
            raise UnsupportedVersionError(
                f"a newer version of geographer published to the remote '{name}' in format {head_format}. Upgrade "
                "geographer."
            )
        published = msgspec.json.decode(content, type=PublishedRevision)
        if published.branch != branch:
            raise msgspec.ValidationError(f"it is one of the branch '{published.branch}'")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptError(
            f"the newest head of the remote '{name}' is not one of a dataset: {error}. Ask the one who published it."
        ) from error
    return published


def read_known_remotes(root: Path) -> dict[str, KnownRemote]:
    """Return what this machine knows of remotes, by `REMOTE/BRANCH`; nothing if that is missing or damaged."""
    try:
        return msgspec.json.decode(_find_path(root).read_bytes(), type=dict[str, KnownRemote])
    except (OSError, ValueError, msgspec.MsgspecError):
        return {}


def read_known_remote(root: Path, branch: str, url: str) -> KnownRemote | None:
    """Return what this machine knows of `branch`, named `REMOTE/BRANCH`; None if the remote had another URL then."""
    known = read_known_remotes(root).get(branch)
    return known if known and known.url == url else None


def forget_remote(root: Path, branch: str) -> None:
    """Forget what a remote had of `branch`; `StorageError` if that cannot be written."""
    remotes = read_known_remotes(root)
    if remotes.pop(branch, None):
        write_atomic(_find_path(root), msgspec.json.encode(remotes))


def remember_remote(root: Path, branch: str, known: KnownRemote) -> None:
    """Remember what a remote has of `branch`, named `REMOTE/BRANCH`; `StorageError` if that cannot be written."""
    write_atomic(_find_path(root), msgspec.json.encode({**read_known_remotes(root), branch: known}))


def _find_path(root: Path) -> Path:
    return root / GEOGRAPHER_FOLDER / "remotes.json"


class _HeadFormat(msgspec.Struct, frozen=True):
    format: int
