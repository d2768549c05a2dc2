"""Recognise a digest that was kept outside the dataset: of an event, of a revision's content, or of the log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Final, NamedTuple

import duckdb

from geographer.base.errors import UsageError
from geographer.storage.database.connection import open_cursor, set_branch
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.branches import read_branch
from geographer.storage.log.check import Finding
from geographer.storage.log.log_root import compute_log_roots
from geographer.storage.queries.logged_content import DigestKind, LoggedContent
from geographer.storage.workspace.verify_report import list_names

_DIGEST: Final = re.compile(r"[0-9a-f]{6,64}")
_MAX_OTHER_REVISIONS: Final = 100
"""How many revisions without a name are compared by content; each reads and sorts all rows of the revision."""
_OTHER_CHAINS: Final = (
    "SELECT branch, position, digest FROM log.chain JOIN log.event USING (event_key) WHERE branch <> $branch "
    "ORDER BY branch, position"
)


class RevisionNames(NamedTuple):
    """The digests of all events by position, and the names of revisions: HEAD and tags."""

    event_digests: Mapping[int, str]
    names: Mapping[int, Sequence[str]]

    def format_revision(self, position: int) -> str:
        """Return a revision such as `@6 (v1)`."""
        names = ", ".join(self.names.get(position, ()))
        return f"@{position} ({names})" if names else f"@{position}"


def require_digest(text: str) -> None:
    """Raise `UsageError` if a text is neither a digest nor the beginning of one."""
    if not _DIGEST.fullmatch(text):
        raise UsageError(f"invalid digest '{text}'. Use 6 to 64 hexadecimal characters.")


def find_expected_digest(
    expected: str, position: int | None, revisions: RevisionNames, content: LoggedContent
) -> tuple[list[str], Finding | None]:
    """Return what the `expected` digest, or its beginning, is the digest of; or else a finding.

    With a `position`, it must be that of the revision's event, of its content, its Merkle root or its log root.
    Without, all events and log roots are compared, and the content of revisions with a name, then of the newest others.
    """
    search = _DigestSearch(expected, revisions, content)
    if position is not None and (matches := search.list_log_digests(position) + search.list_contents([position])):
        return matches, None
    matches = search.list_log_digests() + search.list_contents(revisions.names)
    if not matches:
        others = [at for at in content.list_positions() if at not in revisions.names][:_MAX_OTHER_REVISIONS]
        matches = search.list_contents(others)
    if matches and position is None:
        return matches, None
    return [], Finding("digest not found", expected, None, search.describe_failure(position, matches))


def find_merged_digest(
    connection: duckdb.DuckDBPyConnection, expected: str, revisions: RevisionNames, tags: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return what a digest is the digest of in the histories that were merged, whose events are in other chains.

    `tags` are the names of tags by the digests of their events.
    """
    matches: dict[str, None] = {}
    for branch, digests in _iter_merged_chains(connection, revisions):
        with closing(open_cursor(connection)) as cursor:
            set_branch(cursor, branch)
            chain = RevisionNames(digests, {at: tags[digest] for at, digest in digests.items() if digest in tags})
            found, _ = find_expected_digest(expected, None, chain, LoggedContent(cursor))
            matches |= dict.fromkeys(f"{match} of a merged history" for match in found)
    return list(matches)


def _iter_merged_chains(
    connection: duckdb.DuckDBPyConnection, revisions: RevisionNames
) -> Iterator[tuple[str, dict[int, str]]]:
    """Yield each chain with events that lead to the head and are not in its chain, up to the last of these events."""
    own = revisions.event_digests
    merged = read_ancestry(connection).list_ancestors([own[max(own)]]).difference(own.values()) if own else set()
    chains: dict[str, dict[int, str]] = {}
    values = {"branch": read_branch(connection)}
    for branch, position, digest in connection.execute(_OTHER_CHAINS, values).fetchall() if merged else ():
        chains.setdefault(branch, {})[position] = digest
    for branch, digests in chains.items():
        last = max((position for position, digest in digests.items() if digest in merged), default=0)
        if last:
            merged = merged.difference(digests.values())
            yield branch, {position: digest for position, digest in digests.items() if position <= last}


class _DigestSearch:
    def __init__(self, expected: str, revisions: RevisionNames, content: LoggedContent) -> None:
        self._expected = expected
        self._revisions = revisions
        self._content = content
        self._compared: dict[int, None] = {}

    def list_log_digests(self, position: int | None = None) -> list[str]:
        """Return the events with the digest, and those up to which the log has this root; only one at a position."""
        events = self._revisions.event_digests
        roots = dict(zip(events, compute_log_roots([*events.values()]).values(), strict=True))
        return [
            f"{noun} of {self._revisions.format_revision(at)}"
            for noun, digests in (("event digest", events), ("log root", roots))
            for at, digest in digests.items()
            if digest.startswith(self._expected) and at == (position or at)
        ]

    def list_contents(self, positions: Iterable[int]) -> list[str]:
        """Return the revisions at `positions` whose content has the digest."""
        selected = list(positions)
        self._compared |= dict.fromkeys(selected)
        kinds: tuple[DigestKind, ...] = ("content digest", "Merkle root")
        return [
            f"{kind} of {self._revisions.format_revision(position)}"
            for kind in kinds
            for position in selected
            if self._content.compute_digest(kind, position).startswith(self._expected)
        ]

    def describe_failure(self, position: int | None, matches: list[str]) -> str:
        """Return what the digest was compared with, and what it may be."""
        if matches and position:
            own = f"@{position} {self._revisions.event_digests.get(position, '')}"
            return f"it is no digest of the revision {own}. It is the {' and the '.join(matches)}"
        last = max(self._revisions.event_digests, default=0)
        text = f"no event up to @{last} {self._revisions.event_digests.get(last, '')} has it"
        compared = list_names([self._revisions.format_revision(at) for at in self._compared])
        return (
            f"{text}, and it is neither a log root, nor the content digest or Merkle root of {compared}. The log "
            "lost that event or was rewritten, or the digest is of another dataset, or of a revision not compared"
        )
