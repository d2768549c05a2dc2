"""Status of sharing: how lock file, log and remotes relate, and what keeps the files of tags."""

from __future__ import annotations

from typing import Any, NamedTuple

from geographer.base.html import render_object
from geographer.base.text import format_count
from geographer.sharing.comparison import compare_with_branch
from geographer.sharing.partial_clone import PartialStatus, read_partial_status
from geographer.storage.history.agreement import Agreement
from geographer.storage.history.published import KnownRemote, read_known_remotes
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.tag_objects import TagUsage, list_published_files, list_tag_usage
from geographer.storage.workspace.tracked_folders import find_unknown_dvc_files, list_dvc_files


class RemoteStatus(NamedTuple):
    """A branch of a remote, as it was when it was last fetched or pushed.

    It is compared with the branch of the same name, or with the one in use if there is none: `ahead` is the number of
    events that the remote lacks, `behind` the number that this branch lacks.
    """

    branch: str
    position: int
    digest: str
    ahead: int
    behind: int

    def __str__(self) -> str:
        if self.ahead and self.behind:
            relation = f"diverged: {self.ahead:,} ahead, {self.behind:,} behind"
        else:
            relation = f"{self.ahead:,} ahead" if self.ahead else f"{self.behind:,} behind" if self.behind else "equal"
        return f"{self.branch} @{self.position} {self.digest[:12]} ({relation})"


class SharingStatus(NamedTuple):
    """How this dataset relates to what others have.

    Attributes:
        lock: How the lock file relates to the log.
        dvc_files: The `.dvc` files that are not those of any revision of the log.
        remotes: The branches of remotes, without asking them.
        tags: What the files of each tag take, and what keeps them.
        partial: What a partial clone takes; None if this one takes all files.
    """

    lock: str
    dvc_files: list[str]
    remotes: list[RemoteStatus]
    tags: list[TagUsage]
    partial: PartialStatus | None = None

    def _repr_html_(self) -> str:
        return render_object(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the status as JSON."""
        return {
            "lock": self.lock,
            "unknown_dvc_files": self.dvc_files,
            "remotes": [remote._asdict() for remote in self.remotes],
            "tag_usage": [
                {**usage._asdict(), "missing": len(usage.missing), "unprotected": len(usage.unprotected)}
                for usage in self.tags
            ],
            "partial": self.partial and self.partial.to_dict(),
        }


def read_sharing_status(work: UnitOfWork, revision: Revision, agreement: Agreement) -> SharingStatus:
    """Return how the dataset relates to what others have; `revision` is the head. No remote is asked."""
    remotes = [_describe_remote(work, branch, known) for branch, known in read_known_remotes(work.root).items()]
    unknown = find_unknown_dvc_files(revision, work.root, list_dvc_files(work.root))
    has_tags = revision.fetch_value("SELECT 1 FROM tags LIMIT 1")
    usage = list_tag_usage(revision, work.root, list_published_files(revision, work.root)) if has_tags else []
    relation = agreement.problem or agreement.relation.value
    return SharingStatus(relation, unknown, remotes, usage, read_partial_status(work))


def format_tag_usage(usage: TagUsage) -> str:
    """Return what a tag's files take, and what keeps them, in words."""
    text = f"{usage.tag}: {format_count(usage.files, 'file')}, {usage.bytes:,} bytes ({usage.own_bytes:,} only its own)"
    if usage.missing:
        text += f", {len(usage.missing):,} not on this machine"
    if usage.unprotected:
        text += f", {len(usage.unprotected):,} neither retained nor known to be on a remote: run geographer push"
    return text


def _describe_remote(work: UnitOfWork, branch: str, known: KnownRemote) -> RemoteStatus:
    published = known.published
    _, ahead, behind = compare_with_branch(work, published.branch, published.head)
    return RemoteStatus(branch, published.position, published.head, ahead, behind)
