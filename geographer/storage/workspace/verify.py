"""Verify a dataset: compare the log with its digests, tags with the content that they name, and files with the log."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import groupby
from typing import Any, Final, NamedTuple

import duckdb

from geographer.base.canonical_json import parse_canonical_json
from geographer.base.errors import CorruptError, GeographerError, StorageError, UnsupportedVersionError
from geographer.base.executors.executor import Workers
from geographer.storage.database.connection import Database
from geographer.storage.dvc.store import Store, is_in_git
from geographer.storage.events.payload import parse_payload
from geographer.storage.history.check import REPAIRABLE, delete_damaged_segments, find_history_faults, name_rebuilding
from geographer.storage.history.folder import HistoryFolder
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.branches import find_chain_of
from geographer.storage.log.chain import CHAIN_EVENT, create_chain_views, list_row_tables
from geographer.storage.log.check import LOG_REMEDY, check_indexes, find_log_faults
from geographer.storage.log.check import Finding as Finding
from geographer.storage.log.log_root import build_log_tree, compute_log_roots
from geographer.storage.log.read import is_supported_event, read_head
from geographer.storage.queries.logged_content import DigestKind, LoggedContent
from geographer.storage.queries.revision import Revision, open_revision
from geographer.storage.queries.tag_signatures import read_tag_signatures
from geographer.storage.state.digest import compute_state_digest
from geographer.storage.state.facts import TagFact
from geographer.storage.state.update import compute_sql_digest, is_state_unaltered, rebuild_state, update_state
from geographer.storage.workspace.checkout import find_features_on_rasters
from geographer.storage.workspace.expected_digest import (
    RevisionNames,
    find_expected_digest,
    find_merged_digest,
    require_digest,
)
from geographer.storage.workspace.partial.absences import Absences
from geographer.storage.workspace.tracked_folders import find_unknown_dvc_files
from geographer.storage.workspace.verify_files import DamagedFile, FileVerifier
from geographer.storage.workspace.verify_remote import check_remote_rasters
from geographer.storage.workspace.verify_report import Remedy, VerifyReport, VerifyResult, list_names
from geographer.storage.workspace.verify_signatures import SignatureOptions, SignatureVerifier, TagFacts
from geographer.storage.workspace.withdrawn_files import delete_withdrawn_objects

_STATE_ERRORS: Final = (GeographerError, duckdb.Error, ValueError)
_REPAIRABLE: Final = {"edited state", "damaged state"}
"""The findings about the state that `--repair` clears."""
_STATE_HEAD: Final = (
    f"SELECT meta.position, head_digest, event.digest FROM state.meta LEFT JOIN {CHAIN_EVENT} AS event "  # noqa: S608
    "USING (position) WHERE sql_digest = $1 AND meta.position IS NOT NULL"
)
_UNREADABLE_ROWS: Final = (
    "SELECT position, table_name, ordinal, object, problem FROM state.unreadable_row "
    "WHERE valid_from <= $at AND valid_to > $at"
)
_EDITED: Final = "its rows are not those that are derived from the log; it was derived again"
_MAX_ROW_FINDINGS: Final = 20
"""How many unreadable rows of one event and table are listed; the others are counted."""


class VerifyOptions(NamedTuple):
    """What to verify, and how.

    Attributes:
        position: The only revision to verify; None for the head, whose tags are then looked at, too.
        hashes_tags: Whether the files of every tag are hashed, and its Merkle root is compared.
        workspace_position: The position that the workspace's files are at; None if it is not known.
        expected_digest: A digest, or the beginning of one, that was kept outside the dataset.
        repair: Delete orphans, write `.dvc` files again and rebuild the state, unless the log has faults.
        signatures: What is asked of the signatures and time stamps of tags.
        workers: Who hashes files.
    """

    position: int | None = None
    hashes_tags: bool = False
    workspace_position: int | None = None
    expected_digest: str | None = None
    repair: bool = False
    signatures: SignatureOptions = SignatureOptions()
    workers: Workers = 1


def verify_dataset(database: Database, store: Store, options: VerifyOptions) -> VerifyResult:
    """List the faults of the log, the state, the tags and the files. The log is never changed.

    Raises:
        UsageError: the expected digest is not a digest.
    """
    if options.expected_digest is not None:
        require_digest(options.expected_digest)
    check_indexes(database)
    with database.open_connection(log="r") as connection:
        create_chain_views(connection)
        return _Verification(database, store, options, connection).run_checks()


class _Verification:
    def __init__(
        self, database: Database, store: Store, options: VerifyOptions, connection: duckdb.DuckDBPyConnection
    ) -> None:
        self._database = database
        self._store = store
        self._options = options
        self._connection = connection
        self._report = VerifyReport()
        self._findings: list[Finding] = []
        self._head = read_head(connection).position
        self._position = options.position or self._head
        self._content = LoggedContent(connection)
        self._log_roots: dict[int, str] | None = None
        self._absences = Absences(database, store, self._head)
        self._files = FileVerifier(connection, store, self._report, self._absences, options.workers)

    def run_checks(self) -> VerifyResult:
        """Check log, tags, state and files in this order, and repair what can be repaired."""
        self._findings += self._check_log()
        self._findings += self._check_state()
        self._tags, self._current_tags, tag_findings = _read_tags(self._connection)
        self._findings += tag_findings
        self._names = self._name_revisions()
        self._positions = self._select_positions()
        self._findings += self._check_digests()
        self._findings += self._check_unreadable_rows()
        compute_content_digest = partial(self._content.compute_digest, "content digest")
        shown = self._options.workspace_position
        history_faults = list(find_history_faults(self._database, self._store, compute_content_digest, shown))
        if any(finding.remedy == LOG_REMEDY for finding in self._findings):
            history_faults = [name_rebuilding(fault) for fault in history_faults]
        is_sound = not self._findings and {fault.kind for fault in history_faults} <= REPAIRABLE
        self._findings += self._repair_history(history_faults, is_sound=is_sound)
        self._findings += self._check_files()
        self._findings += self._describe_damages()
        self._findings += self._repair_files(is_sound=is_sound)
        return VerifyResult(self._findings, self._report)

    def _check_log(self) -> Iterator[Finding]:
        yield from find_log_faults(self._connection)
        query = f"SELECT position, format, kind, version FROM {CHAIN_EVENT} ORDER BY position"  # noqa: S608
        for position, event_format, kind, version in self._connection.execute(query).fetchall():
            if not is_supported_event(event_format, kind, version):
                detail = "this version of geographer does not support that kind of event"
                yield Finding("unknown event", f"@{position} {kind}", position, detail)
        counts = " + ".join(f"(SELECT count(*) FROM log.{table})" for table in list_row_tables(self._connection))  # noqa: S608
        query = f"SELECT (SELECT count(*) FROM log.event), {counts}"  # noqa: S608
        ((events, rows),) = self._connection.execute(query).fetchall()
        self._report.checked |= {"events": events, "rows": rows}

    def _check_state(self) -> Iterator[Finding]:
        """Yield what is wrong with the state, then derive it, again if it was edited."""
        faults = list(_find_state_faults(self._database))
        is_repaired = self._options.repair and not self._findings and {fault.kind for fault in faults} <= _REPAIRABLE
        if not is_repaired:
            yield from faults
        try:
            rebuild_state(self._database) if is_repaired else update_state(self._database)
            if self._options.hashes_tags and not faults and not _is_state_derived(self._database):
                yield Finding("edited state", self._database.file_path("state").name, None, _EDITED, Remedy.STATE)
                rebuild_state(self._database)
        except StorageError:
            raise
        except _STATE_ERRORS as error:
            yield Finding("underivable state", f"@{self._head}", None, str(error))

    def _name_revisions(self) -> RevisionNames:
        query = f"SELECT position, digest FROM {CHAIN_EVENT} ORDER BY position"  # noqa: S608
        digests = dict(self._connection.execute(query).fetchall())
        positions = {digest: position for position, digest in digests.items()}
        names: dict[int, list[str]] = {self._head: ["HEAD"]}
        for tag in self._tags:
            if tag.digest in positions:
                names.setdefault(positions[tag.digest], []).append(tag.tag)
        self._tagged = {tag.tag: positions.get(tag.digest) for tag in self._tags}
        return RevisionNames(digests, names)

    def _select_positions(self) -> list[int]:
        """Return the positions of the revisions whose files are hashed."""
        tagged = [position for position in self._tagged.values() if position and self._options.hashes_tags]
        return list(dict.fromkeys([self._position, *sorted(tagged, reverse=True)]))

    def _check_digests(self) -> Iterator[Finding]:
        """Compare the digests of tags with the content that they name, and the expected digest with all."""
        selected = [tag for tag in self._tags if self._options.position in (None, self._tagged[tag.tag])]
        for tag in selected:
            yield from self._check_tag(tag)
        yield from self._check_signatures()
        if selected:
            noun = "content digest and Merkle root" if self._options.hashes_tags else "content digest"
            names = "tag" if len(selected) == 1 else "tags"
            self._report.matches.append(f"{noun} of {names} {list_names([tag.tag for tag in selected])}")
        self._report.revision = {
            "position": self._position,
            "digest": self._names.event_digests.get(self._position),
            "content_digest": self._content.compute_digest("content digest", self._position),
        }
        if self._options.expected_digest is not None:
            arguments = (self._options.position, self._names, self._content)
            matches, finding = find_expected_digest(self._options.expected_digest, *arguments)
            if finding and self._options.position is None:
                tags = {tag.digest: [tag.tag] for tag in self._current_tags.values()}
                matches = find_merged_digest(self._connection, self._options.expected_digest, self._names, tags)
                finding = None if matches else finding
            self._report.matches += [f"the expected digest is the {match}" for match in matches]
            if matches and (missing := 64 - len(self._options.expected_digest)):
                self._report.not_checked.append(
                    f"the last {missing} of the 64 digits of the expected digest: the first ones of another digest can "
                    "be equal"
                )
            if finding:
                yield finding

    def _check_signatures(self) -> Iterator[Finding]:
        """Verify the signatures of tags as they are now, those that came by merges included."""
        options, selected = self._options.signatures, {}
        recorded = read_tag_signatures(self._connection, self._head)
        signed = {item.signed.statement.tag for item in recorded}
        positions = {digest: position for position, digest in self._names.event_digests.items()}
        for tag in self._current_tags.values():
            position = positions.get(tag.digest)
            if self._options.position in (None, position):
                facts = self._compute_statement(tag, position) if tag.tag in signed else {"digest": tag.digest}
                selected[tag.tag] = TagFacts(tag.position, facts)
        yield from SignatureVerifier(options, self._report).check_tags(selected, recorded)
        if not selected and (options.requires_signature or options.requires_time_stamp):
            detail = f"no tag names {'this' if self._options.position else 'a'} revision, and only tags are signed"
            yield Finding("unsigned tag", f"@{self._position}", self._position, detail, Remedy.UNSIGNED)
        elif options.requires_signature and self._options.position is None:
            last = max((positions.get(tag.digest, 0) for tag in self._current_tags.values()), default=0)
            if last < self._head:
                self._report.not_checked.append(
                    f"who recorded the events after @{last}: no signature of a tag covers them"
                )

    def _compute_statement(self, tag: TagFact, position: int | None) -> dict[str, Any]:
        """Return what the log gives for the statement about a tag; a Merkle root only if signatures are asked for.

        The content of an event in a merged history, which has no position here, is not computed.
        """
        facts: dict[str, Any] = {"tag": tag.tag, "digest": tag.digest, "version": tag.version}
        if position is not None:
            facts |= {"position": position, "dataset": self._names.event_digests.get(1)}
            facts["content_digest"] = self._content.compute_digest("content digest", position)
            facts["log_root"] = self._compute_log_root(position)
            if self._options.signatures.requires_signature or self._options.hashes_tags:
                facts["merkle_root"] = self._content.compute_digest("Merkle root", position)
            return facts
        self._report.not_checked.append(f"the content of tag {tag.tag}, which came by a merge: it is of another branch")
        facts |= {"content_digest": tag.content_digest, "merkle_root": tag.merkle_root}
        ancestry = read_ancestry(self._connection)
        if tag.digest in ancestry.nodes:
            chain = ancestry.list_chain(tag.digest)
            facts |= {"position": len(chain), "dataset": chain[0]}
            facts["log_root"] = build_log_tree(chain).compute_root().hex()
        return facts

    def _compute_log_root(self, position: int) -> str | None:
        """Return the log root at the position of a tag; None if the log lacks events before it."""
        if self._log_roots is None:
            digests = self._names.event_digests
            positions = {digest: at for at, digest in digests.items()}
            tagged = {positions[tag.digest] for tag in self._current_tags.values() if tag.digest in positions}
            tagged |= {at for at in self._tagged.values() if at}
            self._log_roots = compute_log_roots([digests[at] for at in sorted(digests)], tagged)
        return self._log_roots.get(position)

    def _check_tag(self, tag: TagFact) -> Iterator[Finding]:
        position = self._tagged[tag.tag]
        if position is None:
            yield Finding(
                "wrong tag", tag.tag, tag.position, f"it names the event {tag.digest}, which the log lacks", Remedy.TAG
            )
            return
        recorded: dict[DigestKind, str | None] = {"content digest": tag.content_digest}
        if self._options.hashes_tags:
            recorded["Merkle root"] = tag.merkle_root
        for kind, digest in recorded.items():
            actual = self._content.compute_digest(kind, position) if digest else None
            if actual != digest:
                detail = f"it records the {kind} {digest}, and the content of @{position} has {actual}"
                yield Finding("wrong tag", tag.tag, tag.position, detail, Remedy.TAG)
        has_intact_log = all(finding.remedy != LOG_REMEDY for finding in self._findings)
        if has_intact_log and tag.tagged_position not in (None, position):
            detail = f"it records the position {tag.tagged_position}, and its event is @{position}"
            yield Finding("wrong tag", tag.tag, tag.position, detail, Remedy.TAG)
        if tag.log_root and has_intact_log and tag.log_root != (root := self._compute_log_root(position)):
            detail = f"it records the log root {tag.log_root}, and the log up to @{position} has {root}"
            yield Finding("wrong tag", tag.tag, tag.position, detail, Remedy.TAG)

    def _check_unreadable_rows(self) -> Iterator[Finding]:
        """Yield the rows of the verified revisions that cannot be shown, those of the files from the log itself."""
        rows: dict[tuple[int, str, int], tuple[str, str]] = {}
        with suppress(*_STATE_ERRORS), self._database.open_connection(log="r", state="r") as connection:
            for position in self._positions:
                found = connection.execute(_UNREADABLE_ROWS, {"at": position}).fetchall()
                rows |= {(since, table, ordinal): (name, problem) for since, table, ordinal, name, problem in found}
        for position in self._positions:
            for row in self._files.read_files(position).unreadable_rows:
                rows.setdefault((row.position, row.table_name, row.ordinal), (row.object, row.reason))
        groups = defaultdict(list)
        for (since, table, _), (name, problem) in sorted(rows.items()):
            groups[since, table.removesuffix("_change").replace("_", " ")].append((name or "without an id", problem))
        for (since, subject), problems in groups.items():
            for name, problem in problems[:_MAX_ROW_FINDINGS]:
                yield Finding("unreadable row", f"{subject} {name}", since, problem, Remedy.ROWS)
            if (rest := len(problems) - _MAX_ROW_FINDINGS) > 0:
                detail = "for the same or other reasons"
                yield Finding("unreadable row", f"{rest:,} more {subject}s", since, detail, Remedy.ROWS)

    def _check_files(self) -> Iterator[Finding]:
        shown, only = self._options.workspace_position, self._options.position
        workspace = self._head if shown is None else shown
        self._report.revisions = [self._names.format_revision(position) for position in self._positions]
        is_shared = only is not None and only != workspace
        is_empty = shown is None and not self._files.has_data_files()
        if not is_empty:
            yield from self._files.check_workspace(workspace, only if is_shared else None)
        self._files.check_objects(self._positions, can_fetch=self._database.is_writable)
        tagged = [position for position in self._tagged.values() if position and only is None]
        if tagged and not self._options.hashes_tags:
            names = [tag for tag, position in self._tagged.items() if position and position not in self._positions]
            self._files.find_objects(tagged, self._positions, list_names(names))
        self._files.check_references(self._positions)
        yield from check_remote_rasters(
            self._connection, self._store.root, self._positions, self._report, self._store.progress
        )
        self._report.not_checked += self._absences.not_checked
        if not is_empty:
            yield from self._files.check_dvc_files(workspace)
            yield from self._files.find_orphans(workspace)
        if not self._options.hashes_tags:
            self._report.not_checked.append(
                "the state, other than by its own digest: --all derives it again to compare"
            )
        name = self._names.format_revision(workspace)
        if is_shared:
            self._report.not_checked.append(
                f"files of the workspace, at {name}, that {self._report.revisions[0]} lacks"
            )
        if is_empty:
            self._report.not_checked.append("the workspace, which shows no revision: run geographer checkout HEAD")
        elif shown is None:
            self._report.not_checked.append(f"which revision the workspace shows: it was compared with {name}")

    def _describe_damages(self) -> Iterator[Finding]:
        """Yield the damaged files, each with the features that it shows at its revision."""
        for position, group in groupby(self._files.damages, lambda damaged: damaged.position):
            with ExitStack() as stack:
                revision = None
                with suppress(*_STATE_ERRORS):
                    revision = stack.enter_context(open_revision(self._database, position))
                yield from [_make_file_finding(revision, damaged) for damaged in group]

    def _repair_files(self, *, is_sound: bool) -> Iterator[Finding]:
        """Write `.dvc` files again and delete orphans; or yield them, if that was not asked for or the log has faults.

        A log with faults may have lost the events of files that look like orphans.
        """
        is_repaired = self._options.repair and is_sound
        if is_repaired:
            with open_revision(self._database, self._head) as revision:
                delete_withdrawn_objects(revision, self._store)
        else:
            yield from self._files.check_withdrawn()
        unknown = self._find_unknown_dvc_files()
        for folder, (finding, entries) in self._files.repair.dvc_files.items():
            if f"{folder}.dvc" in unknown:
                detail = "it lists other files than any revision of the log; a colleague may have removed some"
                yield Finding("unrecorded .dvc file", f"{folder}.dvc", None, detail, Remedy.DVC_FILE)
            elif is_repaired:
                self._store.track_folder(folder, entries)
            else:
                yield finding
        for path in self._files.repair.orphans:
            if not is_repaired:
                name, detail = (
                    path.relative_to(self._store.root).as_posix(),
                    "no event recorded it; --repair deletes it",
                )
                yield Finding("orphan file", name, None, detail, Remedy.REPAIR)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _repair_history(self, faults: list[Finding], *, is_sound: bool) -> list[Finding]:
        """Write the history folder again from the log; or return the faults, if that was not asked for."""
        if not (faults and self._options.repair and is_sound):
            return faults
        delete_damaged_segments(self._store)
        folder = HistoryFolder(self._store.root)
        folder.forget_files()
        folder.write_head(self._database, partial(self._content.compute_digest, "content digest"))
        return []

    def _find_unknown_dvc_files(self) -> set[str]:
        """Return the `.dvc` files in a Git work tree that no revision had: they may be newer ones of a colleague."""
        paths = [f"{folder}.dvc" for folder in self._files.repair.dvc_files]
        if paths and is_in_git(self._store.root):
            with suppress(*_STATE_ERRORS), open_revision(self._database, self._head) as revision:
                return set(find_unknown_dvc_files(revision, self._store.root, paths))
        return set()


def _find_state_faults(database: Database) -> Iterator[Finding]:
    """Yield what is wrong with the state's file. One that another version of geographer derived is not judged."""
    path = database.file_path("state")
    if not path.exists():
        return
    try:
        with database.open_connection(log="r", state="r", spatial=True) as connection:
            rows = connection.execute(_STATE_HEAD, [compute_sql_digest(connection)]).fetchall()
            head = read_head(connection)
            for position, expected, actual in rows:
                knows_head = connection.execute("FROM state.event WHERE digest = $1", [head.digest]).fetchall()
                # The state of another branch is rewound when this one is read.
                place = None if actual == expected else find_chain_of(connection, expected)
                is_of_branch = place is None or place.branch == database.branch
                if position > head.position and knows_head and is_of_branch:
                    detail = (
                        f"the state was derived up to @{position}, and the log ends at @{head.position} {head.digest}"
                    )
                    yield Finding("truncated log", f"@{head.position + 1}", head.position + 1, detail)
                elif actual != expected and is_of_branch:
                    detail = f"it was derived from a log with the event @{position} {expected}, which this log lacks"
                    yield Finding("state of another log", path.name, None, detail, Remedy.OTHER_LOG)
                elif not is_state_unaltered(database):
                    yield Finding("edited state", path.name, None, _EDITED, Remedy.STATE)
    except (CorruptError, duckdb.Error) as error:
        yield Finding("damaged state", path.name, None, str(error), Remedy.STATE)


def _is_state_derived(database: Database) -> bool:
    """Derive another state from the log, and return whether it has the same rows: an edit can forge the digest."""
    derived = database.clone_database()
    derived.use_temporary_file("state")
    update_state(derived)
    digests = set()
    for source in (database, derived):
        with source.open_connection(state="r", spatial=True) as connection:
            digests.add(compute_state_digest(connection))
    return len(digests) == 1


def _read_tags(connection: duckdb.DuckDBPyConnection) -> tuple[list[TagFact], dict[str, TagFact], list[Finding]]:
    """Read the tags from the payloads of all events: those that were set here, those that there are now, by name.

    List the payloads that cannot be read, too. A merge brings tags of another branch, and can move one.
    """
    current: dict[str, TagFact] = {}
    query = f"SELECT position, kind, version, decode(encode(payload), 'replace') FROM {CHAIN_EVENT} ORDER BY position"  # noqa: S608
    tags, findings = [], []
    first = connection.execute(f"SELECT digest FROM {CHAIN_EVENT} WHERE position = 1").fetchone()  # noqa: S608
    for position, kind, version, text in connection.execute(query).fetchall():
        try:
            payload = parse_payload(kind, version, parse_canonical_json(text))
            tag, merged = payload.recorded_tag, [*payload.iter_merged_tags()]
        except UnsupportedVersionError:
            continue
        except (CorruptError, TypeError, ValueError) as error:
            findings.append(Finding("invalid payload", f"@{position} {kind}", position, str(error)))
        else:
            if tag is not None:
                digests = (tag.digest, tag.content_digest, tag.merkle_root, tag.version, tag.log_root)
                tags.append(TagFact(tag.tag, position, tag.position, *digests))
                current[tag.tag] = tags[-1]
                if tag.dataset and first and tag.dataset != first[0]:
                    detail = f"it records the first event {tag.dataset}, and that of the log is {first[0]}"
                    findings.append(Finding("wrong tag", tag.tag, position, detail, Remedy.TAG))
            for tag in merged:
                digests = (tag.digest, tag.content_digest, tag.merkle_root, tag.version, None)
                current[tag.tag] = TagFact(tag.tag, position, None, *digests)
    return tags, current, findings


def _make_file_finding(revision: Revision | None, damaged: DamagedFile) -> Finding:
    file, damage = damaged.file, damaged.damage
    features = find_features_on_rasters(revision, [file.raster_id]) if revision else ["(unknown)"]
    name = f"label '{file.label}' of raster '{file.raster_id}'" if file.label else f"raster '{file.raster_id}'"
    detail = f"{name} is {damage} {damaged.location}; its features are {', '.join(features) if features else '(none)'}"
    return Finding(f"{damage} {'label' if file.label else 'raster'}", file.path, file.position, detail, damaged.remedy)
