"""What can be done with a dataset without changing it: tables at any revision, the graph, history, files, proof."""

import json
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

from geographer.base.errors import ConflictError, UsageError
from geographer.base.html import DisplayedDict, DisplayedList
from geographer.dataset.filters import RevisionSpec
from geographer.dataset.ids import read_id
from geographer.dataset.plots import PlotReader
from geographer.storage.database.dataset_folder import find_dataset_root
from geographer.storage.events import Event
from geographer.storage.history.agreement import LockRelation
from geographer.storage.log.branches import Location, read_branch
from geographer.storage.log.read import read_event, read_events_between
from geographer.storage.queries.table import Table
from geographer.storage.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    import pyarrow as pa
    from rasterio.io import DatasetReader as RasterioDataset

    from geographer.base.executors.executor import Workers
    from geographer.diff.changes import Sides
    from geographer.diff.difference import Diff, DiffOptions
    from geographer.diff.selection import DiffConditions, DiffSelection
    from geographer.diff.version import DatasetVersion
    from geographer.outputs.impact.report import Impact
    from geographer.outputs.pages.diff.build import WrittenDiffPage
    from geographer.outputs.pages.diff.facts import PageSide
    from geographer.outputs.reproduce import ReproduceResult
    from geographer.sharing.status import SharingStatus
    from geographer.storage.workspace.checkout import CheckoutResult
    from geographer.storage.workspace.verify_report import VerifyResult


class DatasetReader(PlotReader):
    """What can be done with a dataset without changing it: read it at any revision, check out files, verify."""

    def open_raster(self, raster_id: str | int, *, at: RevisionSpec = None) -> "RasterioDataset":
        """Open the file of a raster at a revision with rasterio, after comparing it with the recorded checksum.

        The file is that in the workspace if it has that revision's bytes, or else that in DVC's cache, which is fetched
        from the remote if necessary. Close the returned dataset, or use it as a context manager.

        Raises:
            NotFoundError: the revision has no such raster.
            UsageError: the raster is a footprint in a catalogue.
            CorruptError: no file has the recorded bytes.
            StorageError: the remote cannot be reached.
        """
        from geographer.rasters.read import open_raster
        from geographer.storage.workspace.revision_files import find_raster_file

        with self._unit_of_work.open_revision(at) as revision:
            path, with_sidecars = find_raster_file(revision, self._unit_of_work.file_store, read_id(raster_id))
        return open_raster(path, with_sidecars=with_sidecars)

    def open_label(
        self, label: str, raster_id: str | int, *, at: RevisionSpec = None
    ) -> "RasterioDataset | dict[str, Any]":
        """Open the file of a label of a raster at a revision, as `open_raster` does.

        Returns:
            The open rasterio dataset; for a label of boxes, the JSON object in its file.

        Raises:
            NotFoundError: the revision has no such label.
            CorruptError, StorageError: as for `open_raster`.
        """
        from geographer.rasters.read import open_raster
        from geographer.storage.workspace.revision_files import find_label_file

        with self._unit_of_work.open_revision(at) as revision:
            path, is_json = find_label_file(revision, self._unit_of_work.file_store, read_id(label), read_id(raster_id))
        return json.loads(path.read_bytes()) if is_json else open_raster(path, with_sidecars=False)

    def log(self, last: int | None = None, at: RevisionSpec = None) -> list[Event]:
        """Return the events up to a revision, oldest first; only the `last` ones (1 or more) if given.

        An event that merges a branch has two parents; the events of the second one are those `at` its digest.
        """
        if last is not None and (isinstance(last, bool) or not isinstance(last, Integral) or last < 1):
            raise UsageError(f"invalid number of events {last!r}. Use 1 or more.")
        last = None if last is None else min(int(last), _MAX_INTEGER)
        location = self._unit_of_work.locate_revision(at)
        with self._unit_of_work.open_database_of(location.branch).open_connection(log="r") as connection:
            return DisplayedList(read_events_between(connection, up_to=location.position, last=last))

    def show(self, revision: RevisionSpec = None) -> Event:
        """Return the event that made a revision."""
        location = self._unit_of_work.locate_revision(revision)
        with self._unit_of_work.open_database_of(location.branch).open_connection(log="r") as connection:
            return read_event(connection, location.position)

    def history(self, identity: str | int) -> list[dict[str, Any]]:
        """Return every event that touched an object, and what it was cut from and for, oldest first.

        Args:
            identity: The id of a feature or raster (chips are rasters), or `feature:ID`, `raster:ID`,
                `label:NAME/RASTER_ID`, `class:NAME`, `recipe:NAME` or `split:NAME`.

        Returns:
            One dictionary per event and object: position, kind, recorded_at (UTC), author, message, object (how the
            event concerns it), change, detail, parent (the source raster or feature through which it does), and history
            (the digest of the history that a merge imported, else None).

        Raises:
            NotFoundError: no revision has such an object.
        """
        from geographer.outputs.history import read_history

        with self._unit_of_work.open_tables() as (connection, _):
            return DisplayedList(read_history(connection, read_id(identity)))

    def explain_object(self, identity: str | int, at: RevisionSpec = None) -> dict[str, Any]:
        """Return where an object of a revision comes from, and what binds it.

        Args:
            identity: As in `history`.
            at: The revision; None: the head.

        Returns:
            The facts about the object by name, and `sentences`, a list of text that says them. `recorded_at` is a
            `datetime` in UTC.

        Raises:
            NotFoundError: the revision has no such object.
        """
        from geographer.outputs.why import explain_object
        from geographer.planning.split_constraints.groups import list_components

        with self._unit_of_work.open_revision(at) as revision:
            facts = explain_object(revision, read_id(identity), partial(list_components, revision))
            return DisplayedDict(facts)

    def blame_pixel(self, label: str, raster_id: str | int, x: int, y: int, at: RevisionSpec = None) -> dict[str, Any]:
        """Return which feature, rule and event gave a pixel of a label its value.

        Args:
            label: The label's name.
            raster_id: The raster, such as a chip, that the label is of.
            x: The column, from 0 at the left.
            y: The row, from 0 at the top.
            at: The revision; None: the head.

        Returns:
            The facts by name: `value` (of several bands, a list; of boxes, the ids of the features whose boxes contain
            the pixel's centre), `bands` (their names, or None), `class` and `feature_id` (of the feature that gives the
            value, or None), `features` (all that cover the pixel, from bottom to top, each with its `role` and the
            `event` that recorded this version of it), `rule`, `event` (the one that made the label), `agrees` (whether
            the features of the revision explain the value; None for custom labels), `expected`, and, if the label is
            older than the features, `made_with` (those of the revision that made it, each with the event that
            `changed_since` names, or None). `sentences` says them.

        Raises:
            NotFoundError: the revision has no such label, or its recipe is not recorded.
            UsageError: the pixel is outside the label.
            CorruptError, StorageError: as for `open_raster`.
        """
        from geographer.operations.label.blame import blame_pixel

        with self._unit_of_work.open_tables(at, spatial=True) as (connection, position):
            store = self._unit_of_work.file_store
            facts = blame_pixel(connection, position, store, read_id(label), read_id(raster_id), x, y)
            return DisplayedDict(facts)

    def diff(
        self,
        a: RevisionSpec = None,
        b: RevisionSpec = None,
        *,
        flags: bool = False,
        pixels: bool = False,
        footprints: bool = False,
        other: str | Path | None = None,
        **conditions: "Unpack[DiffConditions]",
    ) -> "Diff":
        """Return what was added, removed or changed between two revisions, object by object.

        Args:
            a: The old side. Default: the revision before `b`, or the head if `b` is of another branch.
            b: The new side; both can be of any branch, such as `origin/main`. Default: the head.
            flags: Also find unusual changes, with reasons.
            pixels: Also compare the pixels of changed rasters and labels, whose former bytes may come from the remote.
            footprints: Also return the footprints of changed rasters.
            other: The folder of another dataset that began with the same event, of which `b` is a revision; `a` is then
                the head if it is omitted.
            conditions: Which objects to list; see `DiffSelection`.

        Raises:
            NotFoundError: there is no such revision.
            UsageError: a condition is invalid.
            ConflictError: the other dataset has no common history with this one.
            StorageError: the remote cannot be reached.
        """
        from geographer.diff.changes import Sides
        from geographer.diff.difference import DiffOptions, compute_diff
        from geographer.diff.selection import DiffSelection
        from geographer.storage.workspace.revision_files import find_stored_files

        selection = DiffSelection(**conditions)
        if other is not None and not isinstance(other, str | Path):
            raise UsageError(f"invalid dataset {other!r}. Use the path of its folder.")
        options = DiffOptions(flags, footprints)
        if pixels:
            options = options._replace(find_files=partial(find_stored_files, self._unit_of_work.file_store))
        if other is not None:
            return self._diff_other(a, b, UnitOfWork(find_dataset_root(Path(other))), str(other), selection, options)
        old, new = self._locate_sides(a, b)
        if old.branch != new.branch:
            return self._diff_other(old, new, self._unit_of_work, new.branch, selection, options)
        sides, chain = Sides(old.position, new.position), new.branch
        options = options._replace(read_geometries=partial(self._read_changed_geometries, sides, chain))
        # The head has the reviews of older revisions.
        with self._unit_of_work.open_revision(self._unit_of_work.locate_head(chain)) as head:
            return compute_diff(head, sides, selection, options)

    def _locate_sides(self, a: RevisionSpec, b: RevisionSpec) -> tuple[Location, Location]:
        """Return where two revisions are, in the same chain if one has both.

        `a` is by default the one before `b`, or the head if `b` is of another branch.
        """
        new = self._unit_of_work.locate_revision(b)
        if a is None and new.branch == self._unit_of_work.branch_name:
            return new._replace(position=max(new.position - 1, 1)), new
        return self._unit_of_work.locate_pair(a, b)

    def _resolve_sides(self, a: RevisionSpec, b: RevisionSpec) -> "Sides":
        """Return the positions to compare; `a` is by default the revision before `b`, `b` the head."""
        from geographer.diff.changes import Sides

        new = self._unit_of_work.resolve_revision(b)
        return Sides(max(new - 1, 1) if a is None else self._unit_of_work.resolve_revision(a), new)

    def _read_changed_geometries(self, sides: "Sides", chain: str) -> "pa.Table":
        from geographer.diff.changes import read_changed_geometries

        with self._unit_of_work.open_revision(Location(chain, max(sides))) as revision:
            return read_changed_geometries(revision, sides)

    def _diff_other(
        self,
        a: Location | RevisionSpec,
        b: Location | RevisionSpec,
        work: UnitOfWork,
        name: str,
        selection: "DiffSelection",
        options: "DiffOptions",
    ) -> "Diff":
        """Compare `a` with the revision `b` of the dataset or branch called `name`."""
        from geographer.diff.difference import compute_other_diff
        from geographer.diff.other_dataset import require_common_history

        if options.find_files is not None and work is not self._unit_of_work:
            raise UsageError("pixels are compared between revisions of one dataset. Leave --pixels out.")
        with self._unit_of_work.open_revision(a) as ours, work.open_revision(b) as theirs:
            common = 0
            if work is self._unit_of_work:
                common = work.find_shared_position(read_branch(ours.connection), read_branch(theirs.connection))
            else:
                require_common_history(ours, theirs, name)
            return compute_other_diff(ours, theirs, selection, options, common)

    def write_diff_page(
        self,
        a: RevisionSpec,
        b: RevisionSpec,
        to: str | Path,
        *,
        chips: int | None = None,
        limit: int | None = None,
        flagged_only: bool = False,
        pixels: bool = False,
        other: str | Path | None = None,
        **conditions: "Unpack[DiffConditions]",
    ) -> "WrittenDiffPage":
        """Write what differs between two revisions to an HTML page, which needs no other file; see docs/diff.md.

        It has the flags, a map, a table, and the pictures of chips on both sides. Equal revisions give equal bytes.

        Args:
            a: The old side; None as in `diff`.
            b: The new side; None: the head.
            to: The file.
            chips: The most chips whose pictures are in the page. Default: 24, and at most 5 MB of pictures.
            limit: The most objects in the table. Default: 20,000, or 5,000 of more.
            flagged_only: List only flagged objects.
            pixels: Also compare pixels; see `diff`.
            other: The folder of another dataset; see `diff`.
            conditions: Which objects to list; see `DiffSelection`.

        Raises:
            MissingLibraryError: bokeh or jinja2, of the extra `plot`, is not installed.
            UsageError, StorageError: the file cannot be written, or is the dataset's own.
            NotFoundError, ConflictError: see `diff`.
        """
        from geographer.outputs.pages.diff.build import DiffPageOptions, write_diff_page

        options = DiffPageOptions(limit, chips, flagged_only)
        diff = self.diff(a, b, flags=True, pixels=pixels, other=other, **conditions)
        old, new = self._open_page_sides(a, b, other)
        return write_diff_page(diff, old, new, to, options)

    def _open_page_sides(
        self, a: RevisionSpec, b: RevisionSpec, other: str | Path | None
    ) -> "tuple[PageSide, PageSide]":
        """Return where the page of a difference reads both sides; they are opened one after the other."""
        from geographer.outputs.pages.diff.facts import PageSide

        work, theirs = self._unit_of_work, self._unit_of_work
        old: Location | RevisionSpec = a
        new: Location | RevisionSpec = b
        if other is None:
            old, new = self._locate_sides(a, b)
        else:
            theirs = UnitOfWork(find_dataset_root(Path(other)))
        return (
            PageSide(work.root.name, work.root, work.file_store, partial(work.open_revision, old)),
            PageSide(theirs.root.name, theirs.root, theirs.file_store, partial(theirs.open_revision, new)),
        )

    def write_patch(self, a: RevisionSpec, b: RevisionSpec, path: str | Path) -> int:
        """Write the patch from revision `a` to `b` to a file, and return the number of objects that it changes.

        Defaults are those of `diff`: the revision before `b`, and the head.

        `Dataset.apply_patch` applies it to a copy of the dataset, or to another revision; see docs/patch-format.md.

        Raises:
            NotFoundError: a revision does not exist.
            ConflictError: a revision has rows that cannot be read, which a patch cannot carry.
            StorageError, UsageError: the file cannot be written, or the path is not that of a file.
        """
        from geographer.diff.patch import build_patch, write_patch

        sides = self._resolve_sides(a, b)
        with self._unit_of_work.open_revision(max(sides)) as revision:
            patch = build_patch(revision, sides)
        write_patch(patch, path)
        return len(patch.changes)

    def compute_impact(
        self,
        a: RevisionSpec,
        b: RevisionSpec = None,
        *,
        split: str | None = None,
        subset: str = "test",
        predictions: str | Path | None = None,
        truth: str | None = None,
        metrics: list[str] | None = None,
        statistics: bool | None = None,
        statistics_of: str | None = None,
    ) -> "Impact":
        """Return what a change means for a subset of a split, and for the scores of stored predictions.

        Chips are compared by pixels, labels and class values, without opening a file. See docs/impact.md.

        Args:
            a: The first revision.
            b: The second revision.
            split: The split; None: the only one.
            subset: The part of the split.
            predictions: A folder of class values per pixel, `RASTER_ID.npy`, `.tif` or `.png`; or a CSV or Parquet file
                with the columns `raster_id` and `value`. Nothing is unpickled.
            truth: The label that predictions are compared with, and the only one that counts for the common subset.
            metrics: Of class values: 'accuracy' and 'mean-iou'; None: both.
            statistics: Whether to compute mean and standard deviation (float64) of each band of `statistics_of`; None:
                if chips of that part differ.
            statistics_of: The part that models are trained on; None: 'train' if the split has it, else `subset`.

        Raises:
            NotFoundError: there is no such revision, split, part or label, or chips have no label or prediction.
            UsageError: there are several splits, or an argument, a prediction or the kind of the label is invalid.
            CorruptError, StorageError: as for `open_raster`.
        """
        from geographer.outputs.impact.compute import ImpactOptions, compute_impact
        from geographer.outputs.impact.subset import PositionPair

        options = ImpactOptions.from_values(
            **{"split": split, "subset": subset, "predictions": predictions, "truth": truth, "metrics": metrics},
            **{"statistics": statistics, "statistics_of": statistics_of},
        )
        work = self._unit_of_work
        positions = PositionPair(work.resolve_revision(a), work.resolve_revision(b))
        return compute_impact(work, positions, options)

    def compute_version(self, a: RevisionSpec = None, b: RevisionSpec = None) -> "DatasetVersion":
        """Return the version number that revision `b` should get, from what changed in the data since `a`.

        PATCH: the data are the same; MINOR: data were only added; MAJOR: data were edited, removed, moved between
        subsets, or withdrawn.

        Args:
            a: The revision to compare with. Default: the last tag with a version number at or before `b`, else the
                last tag.
            b: The revision to number. Default: the head. It may be before `a`.

        Raises:
            NotFoundError: a revision does not exist.
        """
        from geographer.diff.version import compute_version

        work = self._unit_of_work
        from_position, to_position = None if a is None else work.resolve_revision(a), work.resolve_revision(b)
        with work.open_revision() as revision:
            return compute_version(revision, to_position, from_position)

    def list_reviews(self) -> Table:
        """Return the reviews, oldest first, each with the position of its event.

        Columns: `position`, `recorded_at` (UTC), `author`, `verdict` ('approve' or 'reject'), `from` and `to` (the
        positions of the reviewed revisions, null if this log lacks them), `from_digest`, `to_digest`, `message`.
        """
        from geographer.diff.reviews import read_reviews

        with self._unit_of_work.open_revision() as revision:
            return Table(read_reviews(revision))

    def list_conflicts(self) -> Table:
        """Return the conflicts of merges that are not resolved, by number.

        Columns: `conflict` (the number), `subject` ('class', 'feature', 'raster', 'recipe', 'user_column', 'removal',
        'tag' or 'split'), `object_id`, `column` (null: the whole object), and as JSON texts `base`, `ours` (the value
        until the conflict is resolved), `theirs` and `remedy` (null: absent). A geometry is an object with `wkb`, in
        hex, and `crs`.
        """
        from geographer.planning.merge_conflicts import fetch_conflict_table

        with self._unit_of_work.open_revision() as revision:
            return Table(fetch_conflict_table(revision))

    def components(
        self,
        collection: str = "source",
        *,
        by: Literal["object", "overlap"] = "overlap",
        buffer: float = 0.0,
        where: str | None = None,
        near_duplicates: bool = False,
        at: RevisionSpec = None,
    ) -> Table:
        """Return the components of rasters that a split with the same arguments keeps together.

        Args:
            collection: The collection of the rasters.
            by: Connect rasters that show one 'object', or also those that 'overlap' in pixels.
            buffer: Also connect rasters within this geodesic distance in metres (WGS84).
            where: Only features for which this SQL expression is true count as objects.
            near_duplicates: Also connect rasters with nearly the same pixels, as splits found and recorded them.

        Returns:
            `raster_id` (text) and `component` (int64), ordered by `raster_id`; components are numbered from 0 by their
            smallest members.

        Raises:
            NotFoundError: the collection or a column does not exist.
            UsageError: the buffer is negative or not finite, or `where` is not one SQL expression.
        """
        from geographer.planning.split_constraints.groups import find_components

        if not isinstance(collection, str) or not isinstance(by, str) or by not in ("object", "overlap"):
            raise UsageError(f"invalid collection {collection!r} or by {by!r}. Use a name, and 'object' or 'overlap'.")
        try:
            distance = float(buffer)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"invalid buffer {buffer!r}. Use a number of metres.") from error
        with self._unit_of_work.open_revision(at) as revision:
            return Table(
                find_components(
                    revision, collection, by=by, buffer=distance, where=where, near_duplicates=near_duplicates
                )
            )

    def compare_geographer(self, directory: str | Path, *, at: RevisionSpec = None) -> Table:
        """Return every edge on which a GeoGrapher 1.0 directory and this dataset disagree, with the reason.

        Only features and rasters that the directory names are compared. Errors are those of `import_geographer`.

        Returns:
            Text columns: feature_id, raster_id, was (`contains`, `intersects` or null: the relation in the old graph),
            now (the relation in this dataset), why.
        """
        from geographer.operations.add.geographer_directory import compare_edges, open_geographer_directory

        old = open_geographer_directory(Path(directory))
        with self._unit_of_work.open_revision(at) as revision:
            return Table(compare_edges(revision, old))

    def list_roots(self) -> Table:
        """Return the folders, or URLs, on this machine, that referenced rasters lie in, by name.

        Columns: `name`; `folder`, null if this machine has not set it; `exists`; `references`, the number of the head's
        rasters in it, and `found`, the number of those whose files are there. `CorruptError` if the file that keeps the
        folders, `.geographer/roots.json`, is damaged.
        """
        from geographer.storage.workspace.roots import make_root_table

        with self._unit_of_work.open_revision() as revision:
            return Table(make_root_table(revision, self.root))

    def set_root(self, name: str, folder: str | Path) -> None:
        """Let the root `name` be an existing folder, or a URL, on this machine; the log does not change.

        Raises:
            NotFoundError: there is no such folder.
            UsageError: it is a file, the URL has a query, a fragment or a credential, or the name is invalid.
            CorruptError, StorageError: `.geographer/roots.json` is damaged, or cannot be written.
        """
        from geographer.rasters.remote_address import is_remote_url
        from geographer.storage.workspace.roots import require_root_folder, require_root_url, set_roots

        if is_remote_url(str(folder)):
            set_roots(self.root, {}, urls={name: require_root_url(str(folder))})
        else:
            set_roots(self.root, {name: require_root_folder(folder)})

    def content_digest(self, at: RevisionSpec = None) -> str:
        """Return the digest of the state at a revision, independent of its history."""
        with self._unit_of_work.open_revision(at) as revision:
            return revision.compute_content_digest()

    def sharing_status(self) -> "SharingStatus":
        """Return how lock file, `.dvc` files, log and remotes relate, and what keeps the files of tags.

        No remote is asked: its branches are as they were when they were last fetched or pushed.
        """
        from geographer.sharing.status import read_sharing_status

        agreement = self._unit_of_work.compare_lock()
        with self._unit_of_work.open_revision() as revision:
            return read_sharing_status(self._unit_of_work, revision, agreement)

    def status(self) -> dict[str, Any]:
        """Return branch and head, counts, classes, recipes, tags, open conflicts, and what the workspace shows."""
        from geographer.planning.attributes import read_attributes
        from geographer.storage.queries.open_conflicts import list_open_conflicts

        head = self._unit_of_work.read_head()
        with self._unit_of_work.open_revision(head.position) as revision:
            counts = {name: revision.fetch_value(query) for name, query in _COUNT_QUERIES.items()}
            recipes = [f"{name} ({kind})" for name, kind in revision.fetch_rows("SELECT name, kind FROM recipes")]
            facts = {
                "root": str(self.root),
                "branch": self._unit_of_work.branch_name,
                "position": head.position,
                "digest": head.digest,
                "workspace": self._unit_of_work.workspace_position,
                **counts,
                "classes": [row[0] for row in revision.fetch_rows("SELECT class FROM classes ORDER BY value")],
                "recipes": recipes,
                "tags": [row[0] for row in revision.fetch_rows("SELECT tag FROM tags")],
                "attributes": [*read_attributes(revision)],
                "conflicts": len(list_open_conflicts(revision)),
            }
            return DisplayedDict(facts)

    def checkout(self, revision: RevisionSpec = None, *, to: str | Path | None = None) -> "CheckoutResult":
        """Write the files of a revision to the workspace, or with its tables to the folder `to`, byte for byte.

        If `revision` is None, it is that of the lock file, which Git may have changed, or the head.

        Raises:
            CorruptError: a file is missing or altered in cache and remote; the message names raster and features.
            ConflictError: the folder holds something else.
        """
        from geographer.outputs.revision_folder import export_folder

        agreement = self._unit_of_work.compare_lock()
        if agreement.problem and (revision is None or to is None) and agreement.relation != LockRelation.BEHIND:
            raise ConflictError(agreement.problem)
        shown = agreement.position if agreement.relation in (LockRelation.BEHIND, LockRelation.SAME) else None
        if to is not None:
            location = self._unit_of_work.locate_revision(shown if revision is None else revision)
            with self._unit_of_work.open_revision(location) as revision_view:
                result = export_folder(revision_view, self._unit_of_work.file_store, Path(to))
            return result._replace(position=location.position)
        position = self._unit_of_work.resolve_revision(shown if revision is None else revision)
        self._unit_of_work.omit_lock_warning()
        head = self._unit_of_work.read_head().position
        result = self._unit_of_work.checkout_workspace(position, is_requested=position != head)
        if position == head:
            self._unit_of_work.write_history()
        return result._replace(position=position)

    def reproduce(self, revision: RevisionSpec, to: str | Path, *, remote: str | None = None) -> "ReproduceResult":
        """Write a revision's files and tables to the folder `to` from the log and a remote alone; hash every file.

        Args:
            revision: The revision.
            to: The folder; it gets a manifest, so `geographer verify` can check it later.
            remote: The name of a remote of DVC; None: the default one, or the cache if there is no remote.

        Raises:
            CorruptError: a file is missing or altered there, or a tag records another content digest.
            ConflictError: the folder has other content.
            StorageError: the remote cannot be reached.
        """
        from geographer.outputs.reproduce import open_source_remote, reproduce_revision

        with open_source_remote(self.root, remote) as opened:
            return reproduce_revision(self._unit_of_work, revision, Path(to), opened)

    def verify(
        self,
        revision: RevisionSpec = None,
        *,
        expect: str | None = None,
        all_tags: bool = False,
        repair: bool = False,
        signatures: str | Path | bool = False,
        timestamps: str | Path | bool = False,
        workers: "Workers" = 1,
    ) -> "VerifyResult":
        """Compare the log, the state and all files with what was recorded; return what differs.

        The result is a list of findings, which is empty if all is well. Its attribute `report` says what was looked at:
        the numbers of events, rows and files, the revisions, the digests that matched, and what was not looked at.

        Args:
            revision: The only revision to verify. If None, the files of the head are read; of each tag, the content
                digest is compared, and the cache or the remote is asked for its files.
            expect: A digest kept elsewhere: of an event, of the content, a Merkle root or a log root. Without
                `revision`, it may be that of any revision.
            all_tags: Also read the files of every tag, and compare its Merkle root.
            repair: Delete orphan files, write `.dvc` files again and rebuild the state; the log is never changed.
            signatures: Require a signature of each tag, or of those of `revision`; a file of trusted keys
                (`allowed_signers` of OpenSSH, or public keys in PEM) requires one by such a key.
            timestamps: Require a time stamp of such a signature; a file of certificates (PEM) requires one by an
                authority that they vouch for.
            workers: The number of processes that hash files, or a client or the address of a Dask scheduler.

        Raises:
            NotFoundError: there is no such file of keys or certificates.
            UsageError: `expect` is not a digest, both `revision` and `all_tags` are given, or a file has no key.
        """
        from geographer.storage.workspace.verify import VerifyOptions, verify_dataset
        from geographer.storage.workspace.verify_signatures import read_signature_options

        if revision is not None and all_tags:
            raise UsageError("--all verifies the head and every tag. Leave the revision out.")
        work = self._unit_of_work
        position = None if revision is None else work.resolve_revision(revision)
        asked = read_signature_options(signatures, timestamps)
        options = VerifyOptions(position, all_tags, work.workspace_position, expect, repair, asked, workers)
        return verify_dataset(work.database, work.file_store, options)

    def __repr__(self) -> str:
        status = self.status()
        return (
            f"Dataset('{self.root}', @{status['position']}: {status['features']:,} features, "
            f"{status['rasters']:,} rasters, {status['edges']:,} edges)"
        )

    def _repr_html_(self) -> str:
        return self._render_overview(self.status)


_MAX_INTEGER: Final = 2**63 - 1
_COUNT_QUERIES = {
    "features": "SELECT count(*) FROM current_feature",
    "rasters": "SELECT count(*) FROM current_raster",
    "edges": "SELECT count(*) FROM current_edge",
    "chips": "SELECT count(*) FROM chips",
    "labels": "SELECT count(*) FROM current_label",
    "splits": "SELECT count(*) FROM current_split",
}
