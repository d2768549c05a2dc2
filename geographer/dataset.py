"""The facade: a dataset as Python and the command line see it. It opens, reads, and has changes recorded."""

from __future__ import annotations

import getpass
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geographer.errors import ConflictError, UsageError, naming
from geographer.events import Draft, Recorded, Signature
from geographer.log.read import event_at
from geographer.projections.project import project
from geographer.readings import Readings, Rev
from geographer.recorder import Change, Recorder, existing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from geographer.intake.rasters import Mode
    from geographer.provenance.checkout import Delivered
    from geographer.provenance.verify import Finding
    from geographer.queries.revision import Revision
    from geographer.recipes.recipe import OnConflict, Progress, Recipe


def _silent(_what: str, _done: int, _of: int) -> None:
    return


class Dataset(Readings):
    """An object-centric remote-sensing dataset with all its versions, in a folder.

    Make one with `Dataset.init`, open one with `Dataset.open`. Every method that changes the dataset appends one event
    and answers a `Recorded` with the new revision; those methods share these keyword arguments:

        message: why; kept in the log.
        author: who; Git's or the system's user name when left out.
        idempotency_key: a name for this request; a repeated request with the same key changes nothing.
        expected_head: refuse with `ConflictError` unless the head's digest begins with this.
        dry_run: plan and answer what would be done, and change nothing.

    Reads take `at`, a revision, and answer a `Table`: Arrow, with `.to_geopandas()`. Longitude comes before latitude.

    All errors that a person can act on are `GeographerError`s: `NotFoundError`, `ConflictError`, `UsageError`,
    `CorruptError`, `StorageError`.
    """

    def __init__(self, root: Path, *, command: str = "", progress: Progress = _silent) -> None:
        """Take the dataset in the folder `root`; `command` is the command line that the log records."""
        self.root = root
        self._recorder = Recorder(root)
        self._command = command
        self._progress = progress

    # --- making and opening -------------------------------------------------------------------------------------

    @classmethod
    def init(
        cls,
        path: str | Path,
        *,
        classes: Sequence[str] = (),
        background: str | None = None,
        scm: bool = True,
        message: str = "",
        author: str | None = None,
        command: str = "",
    ) -> Dataset:
        """Make a dataset in the folder `path`, which becomes a DVC repository (with Git where there is one).

        Args:
            path: The folder; made if need be.
            classes: The classes, whose values are 1, 2, 3 … in this order. None: they come with the features.
            background: A class whose value is 0: it erases in masks.
            scm: Use Git where the folder lies in a Git repository.
            message: Why.
            author: Who.
            command: The command line that the log records.

        Raises:
            ConflictError: there is a dataset already.
            UsageError: a class stands twice or has no name.
        """
        from geographer.log.tables import arrow_table
        from geographer.rasters.store import Store

        root = Path(path).resolve()
        if (root / ".geographer" / "log.duckdb").exists():
            raise ConflictError(f"'{root}' is a dataset already: open it, or choose another folder")
        names = [*([background] if background else []), *classes]
        if len(set(names)) < len(names) or not all(names):
            raise UsageError("a class stands twice or has no name: give each --class (and --background) once")
        dataset = cls(root, command=command)
        store = Store.initialise(root, scm=scm)
        store.ignore(".geographer")
        store.close()
        values = [*([0] if background else []), *range(1, len(classes) + 1)]
        payload = {"classes": list(classes), "background": background}
        rows = {"class_change": arrow_table("class_change", {"class": names, "value": values})} if names else {}
        dataset._recorder.begin(Draft("dataset_initialised", payload, rows), dataset._signature(message, author, None))
        return dataset

    @classmethod
    def open(cls, path: str | Path = ".", *, command: str = "", progress: Progress = _silent) -> Dataset:
        """Open the dataset in the folder `path`, or in the nearest folder above it.

        Raises:
            NotFoundError: there is none.
        """
        return cls(existing(Path(path)), command=command, progress=progress)

    # --- adding and removing --------------------------------------------------------------------------------------

    def add_features(
        self,
        data: Any,
        *,
        id: str | None = None,
        class_: str | None = None,
        as_class: str | None = None,
        where: str | None = None,
        crs: str | None = None,
        on_error: Literal["fail", "skip"] = "fail",
        **signature: Any,
    ) -> Recorded:
        """Add features: points, lines or polygons, multi or not, in any CRS.

        Args:
            data: A file that GDAL reads (GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML …), GeoParquet, an Arrow table
                with a GeoArrow WKB column, or a GeoDataFrame.
            id: The column of ids, text or whole numbers; `feature_id` or `id` when left out.
            class_: The column of classes; `class` when left out, or the dataset's only class.
            as_class: One class for all of them, instead of a column.
            where: Only the rows for which this SQL expression over the file's columns is true.
            crs: The CRS of the data, where it does not say, or says wrongly.
            on_error: 'skip' leaves out rows that are not fit, and records which and why.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            NotFoundError: no such file, column or class.
            ConflictError: ids stand twice, or are in the dataset.
            UsageError: a geometry is missing, empty, invalid or out of range; no id; no CRS.
        """
        from geographer.intake.features import FeatureOptions, plan_features

        options = FeatureOptions(id, class_, as_class, where, crs, on_error)
        request = {"data": _named(data), **asdict(options)}
        return self._change(
            "features_added",
            request,
            signature,
            lambda view: Change(plan_features(view, data, options, request)),
        )

    def add_rasters(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        collection: str = "source",
        mode: Mode = "copy",
        crs: str | None = None,
        footprint: Literal["bounds", "valid"] = "bounds",
        acquired: str | None = None,
        on_error: Literal["fail", "skip"] = "fail",
        **signature: Any,
    ) -> Recorded:
        """Add raster files, or all rasters in folders. A raster's id is the stem of its file's name.

        Args:
            paths: Files and folders.
            collection: The named set that they join.
            mode: 'copy' keeps the bytes in DVC and a copy in the workspace; 'link' in DVC and a read-only link;
                'reference' leaves the file where it is and records its checksums.
            crs: The CRS of the rasters, where their files do not say, or say wrongly.
            footprint: 'bounds' of the grid, or only the 'valid' pixels.
            acquired: The tag that holds the time of acquisition.
            on_error: 'skip' leaves out files that are not fit, and records which and why.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            NotFoundError: no such file.
            UsageError: a file is no raster, or has no CRS.
            CorruptError: a file is damaged.
            ConflictError: ids stand twice, or are in the dataset.
        """
        from geographer.intake.rasters import RasterOptions, plan_rasters

        files = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        options = RasterOptions(collection, mode, crs, footprint, acquired, on_error)
        request = {"paths": [str(file) for file in files], **asdict(options)}

        def plan(view: Revision) -> Change:
            addition = plan_rasters(view, self.root, files, options, request)
            linked = {sums.md5 for _, sums in addition.files} if mode == "link" else set()
            return Change(addition.draft, addition.files, linked=linked)

        return self._change("rasters_added", request, signature, plan)

    def add_catalogue(
        self,
        data: Any,
        *,
        id: str | None = None,
        crs: str | None = None,
        acquired: str | None = None,
        **signature: Any,
    ) -> Recorded:
        """Add footprints without pixels: a vector file, GeoParquet, Arrow, a GeoDataFrame, or STAC items, in any CRS.

        Args:
            data: Polygons; their edges are straight in their own CRS.
            id: The column of ids; `raster_id` or `id` when left out.
            crs: The CRS of the data, where it does not say, or says wrongly.
            acquired: The column that holds the time of acquisition.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            NotFoundError, UsageError, ConflictError: as `add_features`.
        """
        from geographer.intake.catalogue import CatalogueOptions, plan_catalogue

        options = CatalogueOptions(id, crs, acquired)
        request = {"data": _named(data), "id": id, "crs": crs, "acquired": acquired}
        return self._change(
            "catalogue_added",
            request,
            signature,
            lambda view: Change(plan_catalogue(view, data, options, request)),
        )

    def add_classes(self, names: Sequence[str], **signature: Any) -> Recorded:
        """Add classes after those that there are; their values go on counting.

        Raises:
            ConflictError: a class is there already, or stands twice.
            UsageError: a class has no name.
        """
        from geographer.intake.features import class_rows

        request = {"classes": list(names)}

        def plan(view: Revision) -> Change:
            if not all(names):
                raise UsageError("a class has no name: give each a name")
            known = {row[0] for row in view.rows("SELECT class FROM classes")}
            again = sorted(known.intersection(names)) or sorted({name for name in names if list(names).count(name) > 1})
            if again:
                raise ConflictError(f"class {naming(again)} is there already, or stands twice: leave it out")
            return Change(
                Draft(
                    "classes_added",
                    {"request": request, **request},
                    {"class_change": class_rows(view, list(names))},
                )
            )

        return self._change("classes_added", request, signature, plan)

    def remove_features(self, ids: Sequence[Any], **signature: Any) -> Recorded:
        """Remove features; every earlier revision keeps them.

        Raises:
            NotFoundError: one of them is not there.
        """
        from geographer.intake.removal import plan_feature_removal

        request = {"ids": [str(one) for one in ids]}
        return self._change(
            "features_removed", request, signature, lambda view: Change(plan_feature_removal(view, request))
        )

    def remove_rasters(self, ids: Sequence[str], **signature: Any) -> Recorded:
        """Remove rasters, their labels and their places in splits; the bytes stay in the cache for earlier revisions.

        Raises:
            NotFoundError: one of them is not there.
        """
        from geographer.intake.removal import plan_raster_removal

        request = {"ids": list(ids)}
        return self._change(
            "rasters_removed", request, signature, lambda view: Change(plan_raster_removal(view, request))
        )

    # --- recipes --------------------------------------------------------------------------------------------------

    def cut_around_features(
        self,
        name: str,
        *,
        size: int | tuple[int, int],
        mode: Literal["centered", "random"] = "centered",
        seed: int = 0,
        bands: Sequence[int] | None = None,
        target_count: int = 1,
        where: str | None = None,
        source: str = "source",
        at_border: Literal["shift", "pad", "skip"] = "shift",
        pad_value: float | None = None,
        workers: int = 1,
        **signature: Any,
    ) -> Recorded:
        """Cut chips around features: the recipe `name`, whose chips become the collection `name`.

        A feature that `target_count` chips of the recipe contain already gets none, so clusters are not
        over-represented. Nothing is resampled.

        Args:
            name: The recipe's name.
            size: Width and height of a chip in pixels.
            mode: The feature 'centered' in its chip, or at a 'random' place in it.
            seed: Of the random places.
            bands: Which bands, from 1; all when left out.
            target_count: How many chips, from different rasters, are to contain each feature.
            where: Only the features for which this SQL expression is true.
            source: The collection to cut from.
            at_border: 'shift' the chip inside the raster, 'pad' it with nodata, or 'skip' it.
            pad_value: What to pad with where a raster has no nodata value.
            workers: How many processes cut. Scripts that set more than 1 need an `if __name__ == "__main__"` guard.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            NotFoundError: no such collection or column.
            ConflictError: the name stands for another recipe.
            UsageError, CorruptError, StorageError: as the messages say; nothing is recorded then.
        """
        from geographer.recipes.cut import CutAround

        recipe = CutAround(
            name=name,
            size=_size(size),
            source=source,
            bands=tuple(bands) if bands else None,
            at_border=at_border,
            pad_value=pad_value,
            mode=mode,
            seed=seed,
            target_count=target_count,
            where=where,
        )
        return self._run(recipe, "chips_cut", signature, workers)

    def cut_grid(
        self,
        name: str,
        *,
        size: int | tuple[int, int],
        bands: Sequence[int] | None = None,
        source: str = "source",
        at_border: Literal["shift", "pad", "skip"] = "shift",
        pad_value: float | None = None,
        workers: int = 1,
        **signature: Any,
    ) -> Recorded:
        """Cut rasters into a grid of chips from their upper left; arguments as `cut_around_features`."""
        from geographer.recipes.cut import CutGrid

        recipe = CutGrid(
            name=name,
            size=_size(size),
            source=source,
            bands=tuple(bands) if bands else None,
            at_border=at_border,
            pad_value=pad_value,
        )
        return self._run(recipe, "chips_cut", signature, workers)

    def label_masks(self, name: str, *, collection: str, workers: int = 1, **signature: Any) -> Recorded:
        """Burn a class mask for each raster of a collection: the label `name`, pixel for pixel on the raster's grid.

        Values come from the dataset's classes, 0 is background; where features overlap, the class with the larger value
        lies on top, and the background class erases. uint8, or uint16 above 255 classes.

        Raises:
            NotFoundError: no such collection.
        """
        from geographer.recipes.label import LabelMask

        return self._run(LabelMask(name=name, collection=collection), "labels_made", signature, workers)

    def split(
        self,
        name: str,
        *,
        collection: str,
        parts: dict[str, float],
        by: Literal["object", "overlap"] = "overlap",
        where: str | None = None,
        buffer: float = 0.0,
        stratify: Literal["class"] | None = None,
        seed: int = 0,
        on_conflict: OnConflict | None = None,
        **signature: Any,
    ) -> Recorded:
        """Assign the rasters of a collection to parts so that nothing leaks from one part into another.

        Args:
            name: The recipe's name.
            collection: Whose rasters.
            parts: Name to share, such as `{"train": 0.7, "val": 0.15, "test": 0.15}`.
            by: What is never parted: rasters that share an 'object', or also those that 'overlap' in pixels.
            where: Only the features for which this SQL expression is true count as objects.
            buffer: Nor rasters that lie within so many metres of each other, geodesic on WGS84.
            stratify: 'class': also near to the shares in every class.
            seed: Decides among assignments that are equally good.
            on_conflict: When new features weld two parts: 'exclude' their chips, or 'move' the smaller side.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            ConflictError: two parts are welded together, and `on_conflict` says nothing; nothing is written.
            UsageError: shares that can't be.
            NotFoundError: no such collection.
        """
        from geographer.recipes.split import Split

        recipe = Split(
            name=name,
            collection=collection,
            parts=tuple(parts.items()),
            by=by,
            where=where,
            buffer=float(buffer),
            stratify=stratify,
            seed=seed,
        )
        return self._run(recipe, "split_assigned", signature, 1, on_conflict)

    def update(
        self,
        *,
        workers: int = 1,
        on_conflict: OnConflict | None = None,
        **signature: Any,
    ) -> list[Recorded]:
        """Run every recipe for what is new: one event for each recipe that had something to do, in their order.

        Raises:
            ConflictError: a split would leak; what earlier recipes made stays recorded.
        """
        from geographer.recipes.kinds import recipe_of

        with self._recorder.at() as view:
            recipes = [recipe_of(*row) for row in view.rows("SELECT name, kind, parameters FROM recipes")]
        key = signature.pop("idempotency_key", None)
        recorded = []
        for recipe in recipes:
            keyed = {**signature, "idempotency_key": f"{key}/{recipe.name}"} if key else signature
            recorded.append(self._run(recipe, EVENT_OF[recipe.kind], keyed, workers, on_conflict))
            # Whoever expected the head has seen it at the first recipe.
            signature.pop("expected_head", None)
        return recorded

    def tag(self, name: str, revision: Rev = None, **signature: Any) -> Recorded:
        """Name a revision, for good: a tag does not move.

        Raises:
            ConflictError: the tag is there already.
            UsageError: the name could be taken for something else.
        """
        from geographer.intake.rasters import check_name

        position = self._recorder.position_of(revision)
        if name.upper().startswith("HEAD") or all(letter in "0123456789abcdef" for letter in name.lower()):
            raise UsageError(f"'{name}' can't name a tag: it could be a digest, a date or HEAD; take a name such as v1")
        check_name("tag", name)
        with self._recorder.at(position) as view:
            content = view.content_digest()
        request = {"tag": name, "revision": str(revision) if revision is not None else None}

        def plan(view: Revision) -> Change:
            if view.value("SELECT 1 FROM tags WHERE tag = $name", {"name": name}):
                raise ConflictError(f"tag '{name}' is there already, and a tag does not move: choose another name")
            digest = event_at(view.connection, position).digest
            tag = {"tag": name, "position": position, "digest": digest, "content_digest": content}
            return Change(Draft("revision_tagged", {"request": request, "tag": tag}))

        return self._change("revision_tagged", request, signature, plan)

    # --- going back, and proof ------------------------------------------------------------------------------------

    def checkout(self, revision: Rev = None, *, to: str | Path | None = None) -> Delivered:
        """Bring the files of a revision into the workspace, or with its tables into the folder `to`, byte for byte.

        Raises:
            CorruptError: a file is missing or altered in cache and remote; the message names raster and features.
            ConflictError: the folder holds something else.
        """
        from geographer.provenance.checkout import export

        position = self._recorder.position_of(revision)
        if to is not None:
            with self._recorder.at(position) as view:
                return export(view, self._recorder.store, Path(to))
        delivered: Delivered = self._recorder.show(position, chosen=position != self._recorder.head().position)
        return delivered

    def verify(self, revision: Rev = None, *, expect: str | None = None, repair: bool = False) -> list[Finding]:
        """Re-read the log and every raster of a revision; answer what is not as it was recorded (nothing, when all is).

        Args:
            revision: Whose files; the log is read whole.
            expect: A digest that was kept elsewhere, of an event or of the content; it shows a lost tail.
            repair: Remove orphan files and rebuild the projection; never touches the log.
        """
        from geographer.provenance.verify import verify

        recorder, position = self._recorder, self._recorder.position_of(revision)
        project(recorder.engine)
        return verify(recorder.engine, recorder.store, position, shown=recorder.shown, expect=expect, repair=repair)

    # --- how a change goes through --------------------------------------------------------------------------------

    def _change(
        self, kind: str, request: dict[str, Any], options: dict[str, Any], plan: Callable[[Revision], Change]
    ) -> Recorded:
        signature, expected, dry_run = self._signed(options)
        known = self._recorder.known(signature, kind, request)
        if known is not None:
            return known
        head = self._recorder.planning_head(expected)
        with self._recorder.at(head.position) as view:
            change = plan(view)
        if dry_run or (not change.draft.rows and kind in _EMPTY_IS_NOTHING):
            summary = {key: value for key, value in change.draft.payload.items() if key != "request"}
            return Recorded(head.position, head.digest, kind, summary, changed=False)
        return self._recorder.record(change, signature, head)

    def _run(
        self,
        recipe: Recipe,
        kind: str,
        options: dict[str, Any],
        workers: int,
        on_conflict: OnConflict | None = None,
    ) -> Recorded:
        from geographer.recipes.recipe import Workshop, recipe_entry, require_same

        signature, expected, dry_run = self._signed(options)
        request = {**recipe_entry(recipe), **({"on_conflict": on_conflict} if on_conflict else {})}
        known = self._recorder.known(signature, kind, request)
        if known is not None:
            return known
        head = self._recorder.planning_head(expected)
        with self._recorder.at(head.position) as view:
            again = require_same(view, recipe)
            plan = recipe.plan(view, on_conflict=on_conflict)
        planned = {"recipe": recipe_entry(recipe), **plan.summary}
        if dry_run or (again and plan.empty):
            return Recorded(head.position, head.digest, kind, planned, changed=False)
        with self._recorder.staging() as staging:
            outcome = plan.make(Workshop(self.root, staging, workers, self._progress))
            if again and not outcome.draft.rows:
                return Recorded(head.position, head.digest, kind, outcome.draft.payload, changed=False)
            draft = Draft(outcome.draft.kind, {**outcome.draft.payload, "request": request}, outcome.draft.rows)
            return self._recorder.record(Change(draft, outcome.files, staged=True), signature, head)

    def _signed(self, options: dict[str, Any]) -> tuple[Signature, str | None, bool]:
        unknown = options.keys() - {"message", "author", "idempotency_key", "expected_head", "dry_run"}
        if unknown:
            raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
        signature = self._signature(options.get("message", ""), options.get("author"), options.get("idempotency_key"))
        return signature, options.get("expected_head"), bool(options.get("dry_run", False))

    def _signature(self, message: str, author: str | None, key: str | None) -> Signature:
        return Signature(author or _user(), message or "", self._command, key)


EVENT_OF = {
    "cut around": "chips_cut",
    "cut grid": "chips_cut",
    "label mask": "labels_made",
    "split": "split_assigned",
}
_EMPTY_IS_NOTHING = ("features_added", "rasters_added", "catalogue_added")


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _named(data: Any) -> str:
    return str(data) if isinstance(data, str | Path) else type(data).__name__


def _user() -> str:
    """Git's author, else the system's user name."""
    name = os.environ.get("GEOGRAPHER_AUTHOR") or os.environ.get("GIT_AUTHOR_NAME")
    if name:
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
