"""The methods of `Dataset` that download rasters which features still lack."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, Unpack

from geographer.dataset.commit import CommitMixin, CommitOptions
from geographer.dataset.old_names import accept_old_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geographer.archives.base import Source
    from geographer.operations.download.recipe import DownloadRecipe
    from geographer.planning.selection import SelectorFunction
    from geographer.storage.events import ChangeResult
    from geographer.storage.queries.table import Table


_NUMBER_OPTIONS = ("max_cloud", "resolution", "time_limit")
_JSON_OPTIONS = {"query": "--query", "source_options": "--source-option", "reader_options": "--reader-option"}
_FIELD_NAMES = {
    "source": "archive",
    "collection": "product_collection",
    "source_options": "options",
    "keep_reprocessed": "keep_twins",
    "reader_options": "reading",
}
"""The arguments that the recipe has under another name, with that name."""


class _DownloadOptions(CommitOptions, total=False):
    """The keyword arguments of a download; `DownloadMixin.download` documents them."""

    source: str | type[Source]
    provider: str | None
    collection: str | None
    start: str | None
    end: str | None
    max_cloud: float | None
    near: str | None
    query: Mapping[str, Any] | None
    source_options: Mapping[str, Any] | None
    into: str
    where: str | SelectorFunction | None
    rasters_where: str | SelectorFunction | None
    target_count: int
    union: bool
    keep_reprocessed: bool
    footprint: Literal["bounds", "valid"]
    reader: str | None
    bands: Sequence[str]
    resolution: float | None
    reader_options: Mapping[str, Any] | None
    time_limit: float


class DownloadMixin(CommitMixin):
    """The part of `Dataset` that downloads rasters; see `Dataset` for the arguments that all changes share."""

    @accept_old_arguments
    def download(self, name: str, *, workers: int = 4, **options: Unpack[_DownloadOptions]) -> ChangeResult:
        """Find and download the fewest scenes that contain the features which still lack rasters.

        A feature lacks rasters if fewer than `target_count` rasters of the collection `into` contain it. The archive is
        searched in few boxes around those features. The fewest scenes are selected, and among equally few the cheapest:
        the cost is the cloud cover (0 to 1), up to 0.1 for bytes, and the years from `near`. Each scene becomes one
        GeoTIFF and a row with its origin. A product that the dataset has, or another processing of its acquisition, is
        not downloaded again.

        A product that fails does not stop the others: the event lists it, and the next run, or `update`, downloads only
        what is missing. Products that were complete when a run was interrupted are not downloaded again.

        Args:
            source: The kind of archive: 'eodag' (default), 'alos', a subclass of `geographer.Source`, or a name: an
                entry point in `geographer.sources` or 'module:Class'.
            provider: The provider of the archive. Default: the source chooses.
            collection: The archive's collection (product type), e.g. 'S2_MSI_L2A'.
            start: The first time of acquisition, ISO 8601, UTC if it has no offset.
            end: The last time of acquisition; a date means its end.
            max_cloud: The largest cloud cover in percent. Scenes that do not state it pass.
            near: The preferred time of acquisition. Default: the middle of `start` and `end`, else the newest scene.
            query: Further search parameters, in the archive's own terms.
            source_options: The options of the source; JSON values. Credentials belong in the source's own
                configuration.
            into: The collection that the rasters join ('source'), and whose rasters count.
            where: Only features for which this SQL expression is true; or a function, as for cuts.
            rasters_where: Only these rasters of the collection count.
            target_count: The number of rasters that contain each feature (1).
            union: Rasters cover each feature together instead.
            keep_reprocessed: Count all processings of an acquisition, not only the newest.
            footprint: 'valid' (default): the valid pixels count; 'bounds': everything within the bounds counts.
            reader: 'geotiff', 'bands', 'safe' or the name of a plugin. Default: the first reader that can read the
                files.
            bands: The bands by name, in this order.
            resolution: The pixel size in metres or units of the CRS. Default: the finest of the bands.
            reader_options: The options of the reader; JSON values.
            time_limit: The seconds that the proof of the fewest scenes may take (60).
            workers: The number of concurrent downloads; at most what the source allows.

        Raises:
            SourceError: the archive cannot be searched completely, or no product could be downloaded.
            NotFoundError: a provider, collection, reader or column does not exist.
            UsageError: an option is invalid or holds a credential.
            ConflictError: the name belongs to another recipe, or another process is downloading.
        """
        recipe, commit_options = _make_recipe(name, options)
        return self._run_recipe(recipe, commit_options, workers)

    @accept_old_arguments
    def plan_download(self, name: str, **options: Unpack[_DownloadOptions]) -> tuple[Table, dict[str, Any]]:
        """Search the archive and return what `download` would download; nothing is changed.

        Returns:
            A table with a row for each scene: `product_id`, `provider`, `acquired`, `cloud_cover` (percent), `bytes`,
            `shows` (the number of lacking features that it covers), `cost`; and the counts of the event's payload.
        """
        from geographer.dataset.recipe_registry import check_recipe_unchanged
        from geographer.planning.recipe import RunOptions
        from geographer.storage.queries.table import Table

        recipe, commit_options = _make_recipe(name, options)
        _, expected_head, _ = self._parse_commit_options(commit_options)
        head = self._unit_of_work.prepare_head(expected_head)
        with self._unit_of_work.open_revision(head.position) as revision:
            check_recipe_unchanged(revision, recipe)
            plan = recipe.make_plan(revision, RunOptions(self.root, progress=self._progress))
        return Table(plan.make_scene_table()), plan.summary_fields


def _make_recipe(name: str, options: Mapping[str, Any]) -> tuple[DownloadRecipe, dict[str, Any]]:
    """Return the recipe and the commit options."""
    from geographer.operations.download.recipe import DownloadRecipe

    fields = _DownloadOptions.__annotations__.keys() - CommitOptions.__annotations__.keys()
    download_options = {key: value for key, value in options.items() if key in fields}
    commit_options = {key: value for key, value in options.items() if key not in fields}
    return DownloadRecipe(name=name, **_parse_options(download_options)), commit_options


def _parse_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as fields of the recipe, with the types that the log gives back.

    Raises:
        UsageError: an option is invalid or holds a credential.
    """
    from geographer.archives.base import SOURCES
    from geographer.base.errors import UsageError
    from geographer.operations.download.make_source import reject_credentials
    from geographer.planning.recipe import normalise_options
    from geographer.planning.selection import parse_selection

    fields, count, bands = dict(options), options.get("target_count", 1), options.get("bands", ())
    if count < 1:
        raise UsageError(f"invalid --target-count {count}. Use 1 or more.")
    if options.get("union") and count != 1:
        raise UsageError("--union covers each feature once. Leave out --target-count.")
    for key in _NUMBER_OPTIONS:
        number = options.get(key)
        if number is not None and not isfinite(number):
            option = f"--{key.replace('_', '-')}"
            raise UsageError(f"{option} {number} is not a finite number. Leave it out, or give a number.")
        if number is not None:
            fields[key] = float(number)
    fields["bands"] = (bands,) if isinstance(bands, str) else tuple(bands)
    if len(set(fields["bands"])) < len(fields["bands"]):
        raise UsageError(f"--bands {','.join(bands)} repeats a band. Name each band once.")
    for key, option in _JSON_OPTIONS.items():
        reject_credentials(options.get(key) or {}, option)
        fields[key] = normalise_options(options.get(key) or {})
    for key in ("where", "rasters_where"):
        fields[key] = parse_selection(options.get(key))
    fields["source"] = SOURCES.resolve_plugin(options.get("source", "eodag"))
    return {_FIELD_NAMES.get(key, key): value for key, value in fields.items()}
