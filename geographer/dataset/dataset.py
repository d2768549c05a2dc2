"""`Dataset`: the public API. Its methods that change the dataset are made from the classes of requests."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from geographer.base.atomic_files import translate_os_errors
from geographer.base.errors import ReadOnlyError
from geographer.base.html import DisplayedDict, DisplayedList
from geographer.base.progress import ProgressCallback, show_notebook_progress
from geographer.dataset.changeable import ChangeableDataset
from geographer.dataset.filters import RevisionSpec
from geographer.dataset.methods import make_method
from geographer.dataset.old_names import OLD_METHODS, replace_old_name
from geographer.dataset.update import Update, iter_updates
from geographer.operations.add.annotations.request import ImportCoco, ImportCvat, ImportLabelStudio, ImportYolo
from geographer.operations.add.catalogue import AddCatalogue
from geographer.operations.add.classes import AddClasses
from geographer.operations.add.features import AddFeatures
from geographer.operations.add.geographer_import import ImportGeographer
from geographer.operations.add.labels import AddLabels
from geographer.operations.add.rasters import AddRasters
from geographer.operations.add.take_in import TakeInRasters
from geographer.operations.apply.request import ApplyPatch
from geographer.operations.attributes import RemoveAttributes, SetAttributes
from geographer.operations.classes.context import SetContextClasses
from geographer.operations.classes.probabilities import SetClassesFromProbabilities
from geographer.operations.classes.remap import RemapClasses
from geographer.operations.create import CreateDataset
from geographer.operations.cut.around import CutAround
from geographer.operations.cut.boxes import CutBoxes
from geographer.operations.cut.cover import CutCover
from geographer.operations.cut.custom import CutCustom
from geographer.operations.cut.grid import CutGrid
from geographer.operations.cut.materialise import MaterialiseChips
from geographer.operations.describe import DescribeDataset
from geographer.operations.download.events import RastersDownloaded
from geographer.operations.download.recipe import Download
from geographer.operations.import_dataset.request import ImportDataset
from geographer.operations.label.boxes import LabelBoxes
from geographer.operations.label.custom import LabelCustom
from geographer.operations.label.masks import LabelInstances, LabelMask, LabelMultilabel
from geographer.operations.label.probabilities import LabelProbabilities
from geographer.operations.merge.request import MergeRevision, ResolveConflicts, RevertEvent
from geographer.operations.record_export import RecordedExport, RecordedSelection, RecordExport
from geographer.operations.remove.labels import RemoveLabels
from geographer.operations.remove.request import RemoveFeatures, RemoveRasters, RemoveRecipe
from geographer.operations.remove.restore import RestoreFeatures, RestoreRasters
from geographer.operations.remove.unreadable import RemoveUnreadable
from geographer.operations.remove.withdraw import WithdrawRasters
from geographer.operations.rename.classes import RenameClass
from geographer.operations.rename.collections import RenameCollection
from geographer.operations.rename.recipes import RenameRecipe
from geographer.operations.review import ReviewRevisions
from geographer.operations.run_command.request import RunCommand
from geographer.operations.split.recipe import Split
from geographer.operations.tag.request import TagRevision
from geographer.storage.database.dataset_folder import (
    GEOGRAPHER_FOLDER,
    create_dataset_folder,
    require_new_dataset_folder,
)
from geographer.storage.events import ChangeResult
from geographer.storage.history.published import check_selection
from geographer.storage.queries.table import Table
from geographer.storage.request import PlanContext

if TYPE_CHECKING:
    from geographer.outputs.exports.run import ExportResult
    from geographer.sharing.collect_garbage import GarbageReport, RetainedRevisions
    from geographer.sharing.fetch import FetchResult
    from geographer.sharing.push import PushResult
    from geographer.storage.workspace.required_objects import RevisionSelection


class Dataset(ChangeableDataset):
    """An object-centric remote-sensing dataset with all its versions, in a folder.

    Create one with `Dataset.init`, open one with `Dataset.open`. Every method that changes the dataset appends one
    event and returns a `ChangeResult` with the new revision; it takes the options that all requests share, too:
    `message`, `author`, `idempotency_key`, `expected_head` and `dry_run`.

    `DatasetReader` has the methods that read. They take `at`, a revision, and return a `Table`: Arrow, with
    `.to_geopandas()`. Longitude precedes latitude. Each error that users can act on is a `GeographerError`:
    `NotFoundError`, `ConflictError`, `UsageError`, `CorruptError`, `StorageError`.
    """

    if not TYPE_CHECKING:  # Type checkers report unknown names.

        def __getattr__(self, name: str) -> Any:
            """Return a method by its name in version 0.1.0."""
            if name not in OLD_METHODS:
                raise AttributeError(f"'Dataset' object has no attribute '{name}'")
            return getattr(self, replace_old_name(name, OLD_METHODS))

    @classmethod
    def init(
        cls,
        path: str | Path,
        *,
        classes: Sequence[str] = (),
        background: str | None = None,
        context_classes: Sequence[str] = (),
        scm: bool = True,
        message: str = "",
        author: str | None = None,
        command: str = "",
    ) -> Self:
        """Create a dataset in the folder `path`, which becomes a DVC repository.

        Args:
            path: The folder; created if missing.
            classes: The classes; their values are 1, 2, 3 … in this order. Default: those of the features.
            background: A class with value 0: it erases in masks.
            context_classes: Classes that labels do not draw, after the others; a second event records them.
            scm: Use Git if the folder lies in a Git repository.
            message: The reason; the log keeps it.
            author: The author. Default: Git's or the system's user name.
            command: The command line that the log records.

        Raises:
            ConflictError: the folder contains a dataset or files of one, or lies inside its files.
            UsageError: a class name is repeated or empty.
        """
        request = CreateDataset(
            classes=classes, background=background, context_classes=context_classes, message=message, author=author
        )
        return cls.create_dataset(path, request, scm=scm, command=command)

    @classmethod
    def create_dataset(cls, path: str | Path, request: CreateDataset, *, scm: bool = True, command: str = "") -> Self:
        """Create the dataset that a request describes; see `init`."""
        from geographer.storage.dvc.store import Store

        root, change = Path(os.path.realpath(path)), request.make_change()
        with translate_os_errors(root):
            require_new_dataset_folder(root)
        with create_dataset_folder(root) as folder:
            dataset = cls(folder, command=command)
            dataset._unit_of_work.create_log(request, change)
            with Store.init_repository(root, scm=scm) as store:
                store.add_to_gitignore(GEOGRAPHER_FOLDER)
        dataset.root = root
        dataset._unit_of_work.change_root(root)
        dataset._unit_of_work.write_history()
        if names := request.context_classes:
            dataset.run(AddClasses(names, context=True, message=request.message, author=request.author))
        return dataset

    def extract_collection(
        self,
        collection: str,
        to: str | Path,
        *,
        at: RevisionSpec = None,
        scm: bool = True,
        message: str = "",
        author: str | None = None,
        command: str = "",
    ) -> "Dataset":
        """Make a new dataset of a collection of this one, with what its rasters show; this one does not change.

        The new dataset has the rasters of the collection, which have no parents there, the features that they contain
        or intersect, all classes with their values, the labels of the collection that are up to date, the recipes that
        label and split it, the assignments of its splits, and the attributes. Its log records this dataset's id, the
        revision and its digests. `import_dataset(..., collection=...)` brings later changes over.

        Args:
            collection: The name of the collection, such as that of a cut.
            to: The folder of the new dataset; created if missing.
            at: The revision; None: the head.
            scm: Use Git if the folder lies in a Git repository.
            message: The reason; the new log keeps it.
            author: The author. Default: Git's or the system's user name.
            command: The command line that the new log records.

        Raises:
            NotFoundError: there is no such revision or collection.
            ConflictError: the folder contains a dataset or files of one, or a file of the revision was withdrawn.
            CorruptError: a file is missing or altered.
        """
        from geographer.dataset.extract import extract_collection

        def create_target(path: Path, request: CreateDataset) -> "Dataset":
            return Dataset.create_dataset(path, request, scm=scm, command=command)

        return extract_collection(self, collection, Path(to), create_target, at=at, message=message, author=author)

    run = ChangeableDataset.run

    def run_update(self, request: Update) -> Iterator[ChangeResult]:
        """Run every recipe, and yield each result when it is recorded."""
        return iter_updates(self._unit_of_work, request)

    def _update(self, request: Update) -> list[ChangeResult]:
        return DisplayedList(self.run_update(request))

    @classmethod
    def clone(
        cls,
        source: str,
        path: str | Path | None = None,
        *,
        remote: str | None = None,
        branch: str | None = None,
        at: RevisionSpec = None,
        pixels: bool = True,
        revisions: "RevisionSelection" = "tags",
        bbox: str | Sequence[float] | None = None,
        where: str | None = None,
        collections: str | Sequence[str] | None = None,
        subsets: str | Sequence[str] | None = None,
        rasters: str | Sequence[str] | None = None,
        progress: ProgressCallback = show_notebook_progress,
        command: str = "",
    ) -> Self:
        """Make a copy of a published dataset on this machine, with its history.

        With a condition on rasters it is a *partial clone*: history and tables are whole, and of the files it has those
        of the rasters that meet all conditions, of the rasters that their chips are cut from again, and of the labels
        of both. `fetch` with conditions makes it grow.

        Args:
            source: A Git repository (URL or path), whose DVC remote has the history and the files; or the URL or path
                of a DVC remote alone.
            path: The new folder. Default: named after the source, in the current folder.
            remote: The name of the remote of DVC. Default: the default one of the Git repository, or `origin`.
            branch: The branch to use. Default: that of the lock file in the Git repository, or `main`.
            at: The revision that the workspace shows. Default: that of the lock file, or the newest.
            pixels: Whether to fetch files. Without them, tables and history can be read, and `checkout` fetches files.
            revisions: Fetch the files of the head ('current'), of all 'tags' too, or of 'all' revisions.
            bbox: Take rasters that meet this box, or show a feature in it: west, south, east, north in degrees
                (EPSG:4326); west exceeds east across the antimeridian.
            where: Take rasters that contain or intersect a feature for which this SQL expression is true.
            collections: Take rasters of these collections, and the chips cut from them.
            subsets: Take rasters in these parts of splits ('train' or 'SPLIT/train'), and the chips cut from them.
            rasters: Take the rasters with these ids.
            progress: Called with a phase, and the numbers done and in all.
            command: The command line that the log records for later changes.

        Raises:
            ConflictError: the folder exists and is not an unfinished clone of the same source.
            NotFoundError: the source has no dataset, its remote lacks the history, or it lacks a name that
                a condition has.
            UsageError: the URL has credentials, or a condition is invalid.
            CorruptError: what the remote delivers is not as it should be.
            StorageError: Git or the remote failed; the same call goes on.
        """
        from geographer.sharing.clone import clone_files, fetch_clone_branches, finish_clone, name_clone
        from geographer.sharing.fetch import fetch_clone_objects, retain_tags
        from geographer.sharing.partial_clone import begin_partial_clone
        from geographer.storage.workspace.partial.selection import make_selection

        check_selection(revisions)
        selection = make_selection(bbox=bbox, where=where, collections=collections, subsets=subsets, rasters=rasters)
        root = clone_files(source, Path(path) if path is not None else name_clone(source), remote, branch)
        dataset = cls(root, command=command, progress=progress)
        fetch_clone_branches(dataset._unit_of_work, remote, branch)
        dataset._unit_of_work.resolve_revision(at)
        begin_partial_clone(dataset._unit_of_work, selection)
        if pixels:
            fetch_clone_objects(dataset._unit_of_work, remote, revisions)
            dataset.checkout(at)
            retain_tags(dataset._unit_of_work, dataset._unit_of_work.read_head().position)
        finish_clone(root)
        return dataset

    def fetch(
        self,
        remote: str | None = None,
        *,
        branch: str | None = None,
        revisions: "RevisionSelection" = "tags",
        all_files: bool = False,
        bbox: str | Sequence[float] | None = None,
        where: str | None = None,
        collections: str | Sequence[str] | None = None,
        subsets: str | Sequence[str] | None = None,
        rasters: str | Sequence[str] | None = None,
    ) -> "FetchResult":
        """Get what others published: events into the log, as the chain `REMOTE/BRANCH`, and files into DVC's cache.

        The dataset's head and the workspace stay as they are. With conditions, as in `clone`, a partial clone takes
        what they choose, too, from now on: the files that it lacks are fetched, and shown in the workspace.

        Args:
            remote: The name of a remote of DVC; None: the default one.
            branch: A branch of the remote. Default: that of the branch in use, and the events of all others.
            revisions: Fetch the files of the head ('current'), of all 'tags' too, or of 'all' revisions.
            all_files: Make a partial clone take all files.
            bbox, where, collections, subsets, rasters: What a partial clone is to take, too; see `clone`.

        Raises:
            ConflictError: the remote has another dataset.
            CorruptError: what the remote delivers is not as it should be; nothing of that was taken in.
            NotFoundError, StorageError: there is no such remote; it cannot be reached.
            UsageError: a condition is invalid, or the clone takes all files.
        """
        from geographer.sharing.fetch import fetch_branches
        from geographer.sharing.grow import Growth, grow_clone
        from geographer.storage.dvc.remote import open_remote
        from geographer.storage.workspace.partial.selection import make_selection

        check_selection(revisions)
        conditions: dict[str, Any] = {
            "bbox": bbox,
            "where": where,
            "collections": collections,
            "subsets": subsets,
            "rasters": rasters,
        }
        growth, work = Growth(make_selection(**conditions), all_files), self._unit_of_work
        with open_remote(self.root, remote) as opened:
            if growth.is_empty:
                return fetch_branches(work, opened, revisions, branch)
            grown = grow_clone(work, opened, growth, revisions)
            result = fetch_branches(work, opened, revisions, branch)
            return result._replace(objects=result.objects + grown.objects, bytes=result.bytes + grown.bytes)

    def pull(
        self, remote: str | None = None, *, branch: str | None = None, revisions: "RevisionSelection" = "tags"
    ) -> "FetchResult":
        """Fetch, move the head forward to that of the remote, and show it in the workspace; see `fetch`.

        With `branch`, that branch is used from then on, as by `switch`.

        Raises:
            ConflictError: the histories have diverged: `merge_branch` joins them; or the workspace shows an older
                revision on request.
        """
        from geographer.sharing.pull import pull_branch
        from geographer.storage.dvc.remote import open_remote

        check_selection(revisions)
        with open_remote(self.root, remote) as opened:
            return pull_branch(self._unit_of_work, opened, revisions, branch)

    def push(
        self,
        remote: str | None = None,
        *,
        branch: str | None = None,
        revisions: "RevisionSelection" = "tags",
        dry_run: bool = False,
    ) -> "PushResult":
        """Publish the head with its history and files on a remote, where a branch only moves forward.

        Args:
            remote: The name of a remote of DVC; None: the default one.
            branch: The branch to publish. Default: the one in use.
            revisions: Publish the files of the head ('current'), of all 'tags' too, or of 'all' revisions.
            dry_run: Only report what would be sent.

        Raises:
            ConflictError: the remote has events that this log lacks, or another push was faster: pull or merge first.
                A conflict of a merge is open, or a split leaks.
            CorruptError: a file is neither on this machine nor on the remote.
            NotFoundError, StorageError: there is no such remote; it cannot be reached.
        """
        from geographer.sharing.push import push_branch
        from geographer.storage.dvc.remote import open_remote

        check_selection(revisions)
        with open_remote(self.root, remote) as opened:
            return push_branch(self._unit_of_work, opened, revisions, branch, dry_run=dry_run)

    def collect_garbage(
        self, *, remote: str | None = None, revisions: "RetainedRevisions" = "tags", dry_run: bool = False
    ) -> "GarbageReport":
        """Delete the objects that no retained revision needs: from this machine, or from one of DVC's remotes.

        Needed are the files of the head, of all tags and of the revision that the workspace shows, the history, and
        what other `.dvc` files and Git commits use. A remote, and a cache outside the dataset's folder, may be shared:
        what this dataset does not know stays there.

        Args:
            remote: The name of a remote of DVC; None: DVC's cache and the retained objects on this machine.
            revisions: Keep what the head and the 'tags' need, or what 'all' revisions need.
            dry_run: Only count what would be deleted.

        Returns:
            The numbers and sizes, in bytes, of the objects that were `kept` and `deleted`, and of the `unknown` ones.

        Raises:
            ConflictError: another command is storing files, or the remote's head is not in this log.
            NotFoundError: there is no such remote.
            StorageError: the disk or the remote failed.
        """
        from geographer.sharing.collect_garbage import collect_garbage

        return collect_garbage(self._unit_of_work, remote=remote, revisions=revisions, dry_run=dry_run)

    def export_samples(
        self,
        format: str,
        to: str | Path,
        *,
        record: bool = True,
        message: str = "",
        author: str | None = None,
        **arguments: Any,
    ) -> "ExportResult":
        """Write samples of a revision to a folder in the format of a training library, and record that.

        The folder gets images, labels, classes, subsets, the revision with its digests, a README, and a manifest.
        Equal samples give equal bytes. An interrupted export goes on; an earlier one is replaced.

        Args:
            format: The name of the format, such as 'coco', 'yolo', 'webdataset' or 'folder'.
            to: The folder: new, empty, or that of an earlier export.
            record: Whether to record an event with format, selection and manifest; an equal export is recorded once.
            message: The reason; the log keeps it.
            author: The author. Default: Git's or the system's user name.
            arguments: `split`, `subset`, `collection`, `labels` and `at` as in `samples`; `workers`, who writes
                pictures; and the parameters of the format, as `geographer export FORMAT --help` lists them.

        Raises:
            NotFoundError: there is no such revision, split, part, collection or label.
            UsageError: there is no such format or option, the format cannot hold the samples, or a package is missing.
            ConflictError: the folder has other content, or the workspace shows an older revision.
            CorruptError: a file has other bytes than those recorded.
            ReadOnlyError: the dataset may not be written, and the export is to be recorded.
        """
        if record:
            if not self._unit_of_work.database.is_writable:
                raise ReadOnlyError(
                    f"'{self.root}' is read-only, so the export cannot be recorded. Pass --no-record (in Python: "
                    "record=False), or copy the dataset to a folder that you may change."
                )
            self._unit_of_work.prepare_head(None)
        result = super().export_samples(format, to, **arguments)
        if record:
            facts = result._asdict() | {"selection": RecordedSelection(**result.selection)}
            export = RecordedExport(**{name: facts[name] for name in RecordedExport.__struct_fields__})
            self.run(RecordExport(export, message=message, author=author))
        return result

    def plan_request(self, request: Download) -> tuple[Table, RastersDownloaded]:
        """Search the archive and return what a download would fetch; nothing is changed.

        Returns:
            A table with a row for each scene: `product_id`, `provider`, `acquired`, `cloud_cover` (percent), `bytes`,
            `shows` (the number of lacking features that it covers), `cost`; and the event's payload.
        """
        work = self._unit_of_work
        head = work.prepare_head(request.expected_head)
        with work.open_revision(head.position) as revision:
            request.check_revision(revision)
            plan = request.make_plan(revision, PlanContext(self.root, work.progress))
        return Table(plan.make_scene_table()), plan.event

    def _merge_revision(self, request: MergeRevision) -> ChangeResult:
        from geographer.operations.merge.run import merge_branch

        return merge_branch(self._unit_of_work, request)

    def _import_dataset(self, request: ImportDataset) -> ChangeResult:
        from geographer.sharing.import_history import find_common_history, import_history

        work = self._unit_of_work
        history = find_common_history(work, request.path, request.at) if request.can_merge else None
        if history is None:
            return self.run(request)
        if request.dry_run and history.missing:
            head = work.prepare_head(request.expected_head)
            summary = {"revision": history.digest, "events": len(history.missing)}
            return ChangeResult(*head, MergeRevision.event.kind, summary, changed=False, would_change=True)
        import_history(work, request.path, history)
        names = ("message", "author", "idempotency_key", "expected_head", "dry_run")
        return self._merge_revision(MergeRevision(history.digest, **{name: getattr(request, name) for name in names}))

    def abort_merge(self) -> int:
        """Take the last merge back, which left conflicts, with their resolutions; return the position of the head.

        Its events stay in the log, in a hidden chain.

        Raises:
            NotFoundError: the branch does not end with such a merge.
            ConflictError: the merge is published.
        """
        from geographer.operations.merge.run import abort_merge

        return abort_merge(self._unit_of_work).position

    def _plan_download(self, request: Download) -> tuple[Table, dict[str, Any]]:
        table, payload = self.plan_request(request)
        return table, DisplayedDict(payload.list_summary())

    add_features = make_method("add_features", AddFeatures, run)
    add_rasters = make_method("add_rasters", AddRasters, run)
    add_labels = make_method("add_labels", AddLabels, run)
    take_in_rasters = make_method("take_in_rasters", TakeInRasters, run)
    add_catalogue = make_method("add_catalogue", AddCatalogue, run)
    add_classes = make_method("add_classes", AddClasses, run)
    import_geographer = make_method("import_geographer", ImportGeographer, run)
    import_coco = make_method("import_coco", ImportCoco, run)
    import_yolo = make_method("import_yolo", ImportYolo, run)
    import_label_studio = make_method("import_label_studio", ImportLabelStudio, run)
    import_cvat = make_method("import_cvat", ImportCvat, run)
    import_dataset = make_method("import_dataset", ImportDataset, _import_dataset)
    apply_patch = make_method("apply_patch", ApplyPatch, run)
    remove_features = make_method("remove_features", RemoveFeatures, run)
    remove_rasters = make_method("remove_rasters", RemoveRasters, run)
    remove_labels = make_method("remove_labels", RemoveLabels, run)
    remove_recipe = make_method("remove_recipe", RemoveRecipe, run)
    remove_unreadable = make_method("remove_unreadable", RemoveUnreadable, run)
    restore_features = make_method("restore_features", RestoreFeatures, run)
    restore_rasters = make_method("restore_rasters", RestoreRasters, run)
    withdraw_rasters = make_method("withdraw_rasters", WithdrawRasters, run)
    rename_collection = make_method("rename_collection", RenameCollection, run)
    rename_recipe = make_method("rename_recipe", RenameRecipe, run)
    set_context_classes = make_method("set_context_classes", SetContextClasses, run)
    rename_class = make_method("rename_class", RenameClass, run)
    remap_classes = make_method("remap_classes", RemapClasses, run)
    set_classes_from_probabilities = make_method("set_classes_from_probabilities", SetClassesFromProbabilities, run)
    download = make_method("download", Download, run)
    plan_download = make_method("plan_download", Download, _plan_download)
    cut_around_features = make_method("cut_around_features", CutAround, run)
    cut_grid = make_method("cut_grid", CutGrid, run)
    cut_boxes = make_method("cut_boxes", CutBoxes, run)
    cut_cover = make_method("cut_cover", CutCover, run)
    cut_custom = make_method("cut_custom", CutCustom, run)
    materialise = make_method("materialise", MaterialiseChips, run)
    label_masks = make_method("label_masks", LabelMask, run)
    label_probabilities = make_method("label_probabilities", LabelProbabilities, run)
    label_instances = make_method("label_instances", LabelInstances, run)
    label_multilabel = make_method("label_multilabel", LabelMultilabel, run)
    label_boxes = make_method("label_boxes", LabelBoxes, run)
    label_custom = make_method("label_custom", LabelCustom, run)
    run_command = make_method("run_command", RunCommand, run)
    split = make_method("split", Split, run)
    merge_branch = make_method("merge_branch", MergeRevision, _merge_revision)
    resolve_conflicts = make_method("resolve_conflicts", ResolveConflicts, run)
    revert_event = make_method("revert_event", RevertEvent, run)
    tag = make_method("tag", TagRevision, run)
    describe = make_method("describe", DescribeDataset, run)
    set_attributes = make_method("set_attributes", SetAttributes, run)
    remove_attributes = make_method("remove_attributes", RemoveAttributes, run)
    review_revisions = make_method("review_revisions", ReviewRevisions, run)
    update = make_method("update", Update, _update)
    iter_updates = make_method("iter_updates", Update, run_update)
