"""The plan of a download: what features lack, the selected scenes, and their download, which gives one event."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from msgspec import UNSET
from msgspec.structs import replace

from geographer.archives.base import Source
from geographer.archives.download_pool import delete_downloads
from geographer.archives.orders import list_ordered
from geographer.base.errors import ConflictError, quote_names
from geographer.base.text import format_count
from geographer.base.values import validate_name
from geographer.operations.download import fetch
from geographer.operations.download.coverage import compute_coverage
from geographer.operations.download.deduplicate import ProductProcessing
from geographer.operations.download.events import RastersDownloaded, Replacement, SceneCover
from geographer.operations.download.metadata_columns import METADATA_COLUMNS, assign_raster_ids, make_product_key
from geographer.operations.download.search import FailedScene, SearchResult, search_and_select, select_replacements
from geographer.planning.input_problems import make_skipped_rows
from geographer.planning.raster_rows import make_raster_rows
from geographer.planning.selection import Selections
from geographer.planning.user_columns import make_user_columns
from geographer.readers.base import find_reader, make_reader
from geographer.storage.database.connection import run_script
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change, PlanContext
from geographer.storage.state.update import MACROS

if TYPE_CHECKING:
    from geographer.operations.download.recipe import Download

_FOLDER: Final = Path(__file__).parent
_SCENE_COLUMNS: Final = {
    "product_id": ("product.product_id", "string"),
    "provider": ("product.provider", "string"),
    "acquired": ("product.acquired", "string"),
    "cloud_cover": ("product.cloud_cover", "float64"),
    "bytes": ("product.size", "int64"),
    "shows": ("n_features", "int64"),
    "cost": ("cost", "float64"),
}
"""Columns of the planned scenes: attribute of `SelectedScene`, Arrow type."""


def plan_download(recipe: "Download", revision: Revision, context: PlanContext) -> "DownloadPlan":
    """Plan a download at a revision; raise `ConflictError` if the collection contains the chips of a recipe."""
    validate_name("recipe", recipe.name)
    if revision.fetch_value("SELECT 1 FROM recipes WHERE name = $into AND kind LIKE 'cut%'", {"into": recipe.into}):
        raise ConflictError(f"collection '{recipe.into}' contains a recipe's chips. Choose another --to-collection.")
    if recipe.reader is not None:
        make_reader(find_reader(recipe.reader), recipe.all_reader_options)
    run_script(revision.connection, MACROS.read_text())
    selections = Selections(revision, recipe.name)
    selections.stage_selection("feature", recipe.where)
    selections.stage_selection("raster", recipe.rasters_where, METADATA_COLUMNS)
    run_script(revision.connection, (_FOLDER / "features_to_cover.sql").read_text())
    n_features = int(revision.fetch_value("SELECT count(*) FROM feature_to_cover"))
    query = "uncovered_area.sql" if recipe.union else "features_lacking_rasters.sql"
    target_count = {} if recipe.union else {"target_count": recipe.target_count}
    into = {"collection": recipe.into}
    features = revision.fetch_arrow((_FOLDER / query).read_text(), into | target_count)
    rows = revision.fetch_rows((_FOLDER / "existing_products.sql").read_text(), into)
    existing = [ProductProcessing(product_id, json.loads(texts), footprint) for product_id, texts, footprint in rows]
    # Never overwrite a file that the log does not know.
    files = (context.root / "rasters" / recipe.into).glob("*.tif")
    used_ids = _list_raster_ids(revision) | {path.stem for path in files}
    warnings = selections.list_warnings()
    if not n_features and revision.fetch_value("SELECT count(*) FROM current_feature"):
        warnings += [] if selections.describes_empty("feature") else ["No feature is selected. Check --where."]
    elif not n_features:
        warnings.append("The dataset has no features. Add some with: geographer add features")
    is_new = recipe.is_changed(revision)
    return DownloadPlan(recipe, context, features, existing, used_ids, n_features, selections, warnings, is_new)


@dataclass(frozen=True, eq=False)
class DownloadPlan:
    """The scenes to download. The archive is searched when the plan is first read.

    `features` and `existing` are as in `search_and_select`, `used_ids` the raster ids that exist, and `n_features` the
    number of selected features; `is_new` says that the recipe is not recorded yet.
    """

    recipe: "Download"
    context: PlanContext
    features: pa.Table
    existing: list[ProductProcessing]
    used_ids: set[str]
    n_features: int
    selections: Selections
    warnings: list[str]
    is_new: bool

    @cached_property
    def _download_source(self) -> Source:
        """The source; raises `PluginError` or `UsageError` if it cannot be made with its options."""
        return self.recipe.make_source()

    @cached_property
    def _search_result(self) -> SearchResult:
        if not len(self.features):
            return SearchResult([], 0, [], 0, {})
        source, progress = self._download_source, self.context.progress
        ordered = list_ordered(self.context.root / fetch.DOWNLOADS_FOLDER)
        return search_and_select(self.recipe, self.features, self.existing, ordered, source, progress)

    def make_scene_table(self) -> pa.Table:
        """Return a table with one row for each scene to download."""
        scenes, columns = self._search_result.scenes, _SCENE_COLUMNS.items()
        return pa.table({name: pa.array(map(attrgetter(path), scenes), kind) for name, (path, kind) in columns})

    @property
    def event(self) -> RastersDownloaded:
        """The event, if all scenes can be downloaded."""
        result = self._search_result
        sizes, n_scenes = [scene.product.size for scene in result.scenes], len(result.scenes)
        gap = round(1 - result.lower_bound / n_scenes, 6) if n_scenes else 0.0
        return RastersDownloaded(
            recipe=self.recipe.to_record(),
            collection=self.recipe.into,
            rasters=n_scenes,
            failed=0,
            features=self.n_features,
            selectors=self.selections.list_runs(),
            missing=len(self.features),
            candidates=result.n_candidates,
            cover=SceneCover(n_scenes, result.lower_bound, gap),
            bytes=None if None in sizes else sum(size or 0 for size in sizes),
            unmet=result.unmet_counts,
            searches=result.searches,
            columns={},
            warnings=self.warnings or UNSET,
        )

    @property
    def is_empty(self) -> bool:
        """Whether no scene is to be downloaded."""
        return not self._search_result.scenes

    def build_outputs(self, context: BuildContext) -> Change:
        """Download the products with `recipe.workers` threads, and convert each as soon as it arrives.

        If all of a new recipe's products are offline, the recipe is recorded, so that updates fetch them.

        Raises:
            SourceError: no product could be downloaded.
            OrderRequiredError: all products are ordered, and none of them is there yet.
            UnsupportedProductError: no product could be read with the current options.
        """
        recipe = self.recipe
        imported, failed, replaced = self._fetch_scenes(context)
        ordered = [failure for failure in failed if failure.is_ordered]
        if failed and not imported and not (ordered and self.is_new):
            fetch.raise_failure(failed)
        # `METADATA_COLUMNS` come first, so that a source's `Product_ID` cannot take the name of `product_id`.
        columns, properties = make_user_columns([scene.metadata for scene in imported], METADATA_COLUMNS)
        rows = self.selections.to_rows()
        if imported:
            shared = {"change": "added", "recipe": recipe.name}
            pairs = zip(imported, properties, strict=True)
            raster_rows = [{**scene.row, **shared, "properties": text} for scene, text in pairs]
            rows["raster_change"] = make_raster_rows(raster_rows)
        rows |= make_skipped_rows("downloads", [(failure.product.product_id, failure.reason) for failure in failed])
        n_short = self._count_uncovered_features(imported)
        event = replace(
            self.event,
            rasters=len(imported),
            failed=len(failed) - len(ordered),
            ordered=len(ordered) or UNSET,
            replacements=_list_replacements(failed, replaced) or UNSET,
            short=n_short or UNSET,
            columns=columns,
            warnings=self.warnings + _list_shortfalls(failed, replaced, n_short) or UNSET,
        )
        new_ids, products = {scene.row["raster_id"] for scene in imported}, [scene.product for scene in imported]
        return Change(
            event,
            rows,
            [(scene.path, scene.checksums) for scene in imported],
            move_files=True,
            check_still_valid=lambda later: _check_ids_unused(later, new_ids),
            on_recorded=lambda: delete_downloads(context.root / fetch.DOWNLOADS_FOLDER, products),
        )

    def _fetch_scenes(
        self, context: BuildContext
    ) -> tuple[list[fetch.ImportedScene], list[fetch.FailedProduct], list[FailedScene]]:
        """Fetch the selected scenes, and with `fall_back` others for those that fail, until none is left.

        An archive that delivers nothing, for reasons that may pass, is not asked for others.
        """
        recipe, scenes, used_ids = self.recipe, self._search_result.scenes, set(self.used_ids)
        imported: list[fetch.ImportedScene] = []
        failed: list[fetch.FailedProduct] = []
        replaced: list[FailedScene] = []
        while scenes:
            raster_ids = assign_raster_ids([scene.product for scene in scenes], used_ids, recipe.into)
            used_ids |= set(raster_ids)
            batch, failures = fetch.import_scenes(scenes, raster_ids, self._download_source, recipe, context)
            imported, failed = imported + batch, failed + failures
            lost = [failure.product for failure in failures if failure.is_replaceable]
            is_down = not batch and all(failure.is_temporary for failure in failures)
            if not recipe.fall_back or not lost or is_down:
                break
            kept = [scene.product for scene in imported] + [failure.product for failure in failed if failure.is_ordered]
            excluded = {make_product_key(failure.product) for failure in failed}
            found = self._search_result.found
            arguments = recipe, self.features, self.existing, found, kept, lost, excluded
            scenes, outcomes = select_replacements(*arguments)
            replaced += outcomes
        return imported, failed, replaced

    def _count_uncovered_features(self, imported: Sequence[fetch.ImportedScene]) -> int:
        """Return how many features the imported rasters do not contain although the stated footprints do."""
        if self.recipe.union:
            return 0
        stated = [(scene.product.footprint, scene.product.crs, scene.product.outline) for scene in imported]
        actual = [(scene.product.footprint, scene.row["crs"], scene.row["outline"]) for scene in imported]
        covered = [compute_coverage(self.features, scenes, union=False)[0] for scenes in (stated, actual)]
        stated_pairs, actual_pairs = (set(map(tuple, index_pairs.tolist())) for index_pairs in covered)
        return len({feature for _, feature in stated_pairs - actual_pairs})


def _list_replacements(failed: Sequence[fetch.FailedProduct], replaced: Sequence[FailedScene]) -> list[Replacement]:
    reasons = {make_product_key(failure.product): failure.reason for failure in failed}
    return [
        Replacement(
            scene.product.product_id,
            reasons[make_product_key(scene.product)],
            [product.product_id for product in scene.replaced_by],
            scene.uncovered,
        )
        for scene in replaced
    ]


def _list_shortfalls(failed: Sequence[fetch.FailedProduct], replaced: Sequence[FailedScene], n_short: int) -> list[str]:
    covered = {make_product_key(scene.product) for scene in replaced if not scene.uncovered}
    lost = [
        failure for failure in failed if not failure.is_ordered and make_product_key(failure.product) not in covered
    ]
    warnings = [f"{fetch.describe_failures(lost)}. geographer update tries again."] if lost else []
    if ordered := [failure for failure in failed if failure.is_ordered]:
        warnings.append(fetch.describe_orders(ordered))
    for replacement in _list_replacements(failed, replaced):
        if replacement.replaced_by:
            names, reason = quote_names(replacement.replaced_by), replacement.reason.rstrip(".")
            warnings.append(f"'{replacement.product}' failed and was replaced by {names} ({reason}).")
    if n_short:
        warnings.append(
            f"{format_count(n_short, 'feature')} {'is' if n_short == 1 else 'are'} not within the valid pixels of the "
            "downloaded scenes, contrary to the archive's footprints. geographer update searches for other scenes."
        )
    return warnings


def _list_raster_ids(revision: Revision) -> set[str]:
    return {row[0] for row in revision.fetch_rows("SELECT raster_id FROM current_raster")}


def _check_ids_unused(revision: Revision, raster_ids: set[str]) -> None:
    if conflicts := sorted(_list_raster_ids(revision) & raster_ids):
        rasters = f"{format_count(len(conflicts), 'raster')} of the same id ({quote_names(conflicts)})"
        raise ConflictError(f"another command added {rasters} during the download. Run the command again.")
