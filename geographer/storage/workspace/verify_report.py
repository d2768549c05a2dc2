"""What `verify` found, and what it looked at: so that "no finding" says how much was compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from geographer.base.html import render_fields
from geographer.base.text import format_count
from geographer.storage.log.check import Finding

_COUNTED: Final = {
    "events": ("event", ""),
    "rows": ("row", ""),
    "cached_objects": ("object", " in DVC's cache"),
    "present_objects": ("object", " only looked for"),
    "workspace_files": ("file", " of the workspace"),
    "referenced_files": ("referenced file", ""),
    "remote_rasters": ("remote raster", " by its version"),
    "dvc_files": (".dvc file", ""),
    "files": ("file", ""),
}
"""What is counted, with its noun and where it is; files and objects are hashed."""


def list_names(names: Sequence[str], limit: int = 5) -> str:
    """Return at most `limit` names: `v1, v2 and 7 more`."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit:,} more" if len(names) > limit else "")


class Remedy(StrEnum):
    """What to do about a finding, other than one in the log."""

    STATE = "The state was derived from the log again; run the command again to see that it is right."
    OTHER_LOG = "If .geographer/log.duckdb is the log that you want, nothing is left to do; else restore the other one."
    TAG = "Tag the revision under another name, and cite that."
    SIGNATURE = "Ask the author for the signed tag: the log, or the signature, is not what was signed."
    KEY = "Ask the author for the public key, on another way than the dataset came; if it is right, trust it, too."
    UNSIGNED = (
        "Sign the tag (geographer tag NAME --sign KEY), or verify one that is: geographer verify NAME --signature."
    )
    TIME_STAMP = "Have the signature time-stamped again: geographer tag NAME --timestamp URL."
    UNSTAMPED = "Have a signature of the tag time-stamped: geographer tag NAME --timestamp URL."
    ROWS = "Run geographer remove unreadable: later revisions are then without those rows."
    WORKSPACE = (
        "Run geographer checkout HEAD, or the revision that you want to see, to write the workspace's files again."
    )
    CACHE = "Delete an object that is altered in the cache and run geographer verify again: it gets it from the remote."
    LOST = "Run dvc push where the missing objects still are, then geographer verify again."
    REFERENCE = (
        "Put the referenced file back, or record the new one with geographer add rasters --mode reference --replace."
    )
    REMOTE = (
        "Put the recorded version back, or record the new one: geographer add rasters URL --mode reference --replace."
    )
    ROOT = "Set the roots that the referenced files lie in, each on every machine: geographer roots set NAME DIR."
    REPAIR = "Run geographer verify --repair to write .dvc files again and to delete orphaned and withdrawn files."
    TEAM = "Get the newer .geographer/log.duckdb from its author: nothing that only a .dvc file names is deleted."
    DVC_FILE = (
        "Run dvc pull, or undo the change of the .dvc file with git; geographer checkout HEAD writes it as recorded."
    )
    EXPORT = "Write the folder again from the dataset: geographer checkout REV --to DIR."
    NONE = ""


@dataclass
class VerifyReport:
    """What a verification looked at.

    Attributes:
        revision: The revision that was verified: position, digest, content digest; of a folder also its Merkle root.
        checked: The numbers of events and rows whose digests were recomputed, of files that were hashed, and others.
        revisions: The revisions whose files were hashed, such as `@12` or `@6 (v1)`.
        matches: What equals a recorded or an expected digest, such as `content digest of @6 (v1)`.
        not_checked: What was not compared, and how to do that.
        withdrawn: The files that were withdrawn, by raster and event: a line for each.
        partial: What a partial clone takes; empty if it takes all files.
        absent: The number of files of the verified revisions that it lacks on purpose.
    """

    revision: dict[str, Any] = field(default_factory=dict)
    checked: dict[str, int] = field(default_factory=dict)
    revisions: list[str] = field(default_factory=list)
    matches: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    partial: str = ""
    absent: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            **self.revision,
            "checked": self.checked,
            "revisions": self.revisions,
            "matches": self.matches,
            "not_checked": self.not_checked,
            "withdrawn": self.withdrawn,
            **({"partial": self.partial, "absent": self.absent} if self.partial else {}),
        }

    def list_lines(self) -> list[str]:
        """Return the report as lines of text."""
        counts = [format_count(number, _COUNTED[name][0]) + _COUNTED[name][1] for name, number in self.checked.items()]
        lines = [f"checked: {', '.join(counts)}", *(f"matched: {match}" for match in self.matches)]
        if self.partial:
            lines.append(f"absent on purpose: {format_count(self.absent, 'file')} (partial clone: {self.partial})")
        return lines + self.withdrawn + [f"not checked: {text}" for text in self.not_checked]

    def format_success(self) -> str:
        """Return the sentence for a verification without findings."""
        name, content = f"@{self.revision.get('position')}", self.revision.get("content_digest")
        part = " that this partial clone has" if self.absent else ""
        subject = f"the log and the files of {', '.join(self.revisions)}{part}" if self.revisions else "all files"
        return f"verified {name} {self.revision.get('digest')}, content {content}: {subject} are as recorded"


class VerifyResult(list[Finding]):
    """The findings of a verification, none if all is as recorded, with the `report` of what it looked at."""

    def __init__(self, findings: Iterable[Finding], report: VerifyReport) -> None:
        super().__init__(findings)
        self.report = report

    def _repr_html_(self) -> str:
        lines = self.report.list_lines() if self else [self.report.format_success(), *self.report.list_lines()]
        return render_fields("VerifyResult", {"findings": [*self], "report": lines, "remedies": self.list_remedies()})

    def list_remedies(self) -> list[str]:
        """Return what to do about the findings, each advice once."""
        return list(dict.fromkeys(finding.remedy for finding in self if finding.remedy))
