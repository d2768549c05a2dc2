"""The verb that downloads: the scenes that features still lack, from an archive."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from geographer.dataset.commit import SIGNATURE, Changing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geographer.archives.base import Source
    from geographer.operations.download.recipe import Download
    from geographer.planning.selection import SelectorFunction
    from geographer.storage.events import ChangeResult
    from geographer.storage.queries.table import Table


_NUMBERS = ("max_cloud", "resolution", "time_limit")
_OPTIONS = {"query": "--query", "source_options": "--source-option", "reader_options": "--reader-option"}
_FIELDS = {
    "source": "archive",
    "collection": "product_collection",
    "source_options": "options",
    "reader_options": "reading",
}
"""What the recipe calls what is given under another name."""


class _Signed(TypedDict, total=False):
    """The keyword arguments that all changes share."""

    message: str
    author: str | None
    idempotency_key: str | None
    expected_head: str | None
    dry_run: bool


class _Wanted(_Signed, total=False):
    """What a download is asked for; `Downloads.download` says what each means."""

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
    keep_twins: bool
    footprint: Literal["bounds", "valid"]
    reader: str | None
    bands: Sequence[str]
    resolution: float | None
    reader_options: Mapping[str, Any] | None
    time_limit: float


class Downloads(Changing):
    """The part of `Dataset` that fetches rasters; see there for the keyword arguments that all changes share."""

    def download(self, name: str, *, workers: int = 4, **wanted: Unpack[_Wanted]) -> ChangeResult:
        """Find and fetch the rasters that features still lack: the fewest scenes that show them all.

        A feature lacks rasters when fewer than `target_count` of the collection `into` contain it. The archive is
        searched in few boxes around those features; of what it has, the fewest scenes are chosen, and of equally few
        those that cost least: their cloud cover from 0 to 1, up to a tenth for bytes, and the years that they are away
        from `near`. Each becomes one GeoTIFF, and a row that tells where it came from. A product that is here is never
        fetched again, nor another processing of its acquisition.

        A product that can't be had does not stop the others: it stands in the event, and a second run, or `update`,
        fetches only those. What had arrived when a run was stopped is not fetched again either.

        Args:
            name: The recipe's name.
            source: Which kind of archive: 'eodag' (default), 'alos', a subclass of `geographer.Source`, or the name of
                one: an entry point in `geographer.sources`, or 'module:Class'.
            provider: Whose archive; the source's own choice when left out.
            collection: The archive's own collection (product type), such as 'S2_MSI_L2A'.
            start: The first moment of acquisition, ISO 8601, in UTC where it has no offset.
            end: The last one; a date is meant to its end.
            max_cloud: The highest cloud cover, in percent. Scenes that state none pass.
            near: The moment that scenes should be near to; the middle of `start` and `end`, or else the newest scene's.
            query: More that the archive is asked for, in its own words.
            source_options: The source's own; JSON values, no credentials: those belong into its own configuration.
            into: The collection that the rasters go to ('source'), and whose rasters count.
            where: Only the features for which this SQL expression is true; or a function, as for cuts.
            rasters_where: Only these rasters of the collection count.
            target_count: How many rasters are to contain each feature (1).
            union: Instead, rasters are to cover each feature together.
            keep_twins: All processings of one acquisition count, not only the newest.
            footprint: 'valid' (default): a raster shows what its valid pixels show; 'bounds': all within its bounds.
            reader: 'geotiff', 'bands', 'safe', the name of one's own; the one that knows the files when left out.
            bands: Which bands, by name, in this order.
            resolution: Of the pixels, in metres or units of the CRS; the finest of the bands when left out.
            reader_options: The reader's own; JSON values.
            time_limit: How many seconds the proof that the scenes are the fewest may take (60).
            workers: How many products are fetched at once; never more than the source allows.
            wanted: All of the above, and `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            SourceError: the archive can't be searched whole, or not one product could be had.
            NotFoundError: no such provider, collection of the archive, reader or column.
            UsageError: options that can't be, or that hold a credential.
            ConflictError: the name stands for another recipe, or another process downloads.
        """
        recipe, signature = _declared(name, wanted)
        return self._run(recipe, signature, workers)

    def plan_download(self, name: str, **wanted: Unpack[_Wanted]) -> tuple[Table, dict[str, Any]]:
        """What `download` would fetch, without fetching it: the archive is searched, and nothing is changed.

        Returns:
            A table with a row for each scene: `product_id`, `provider`, `acquired`, `cloud_cover` (percent), `bytes`,
            `shows` (how many of the missing features), `cost`; and the counts, as the event would tell them.
        """
        from geographer.dataset.recipe_registry import check_recipe_unchanged
        from geographer.planning.recipe import RunOptions
        from geographer.storage.queries.table import Table

        recipe, signature = _declared(name, wanted)
        head = self._recorder.prepare_head(signature.get("expected_head"))
        with self._recorder.open_revision(head.position) as view:
            check_recipe_unchanged(view, recipe)
            plan = recipe.make_plan(view, RunOptions(self.root, progress=self._progress))
        return Table(plan.table()), plan.summary


def _declared(name: str, wanted: Mapping[str, Any]) -> tuple[Download, dict[str, Any]]:
    """The recipe, and the keyword arguments that all changes share."""
    from geographer.operations.download.recipe import Download

    signature = {key: value for key, value in wanted.items() if key in SIGNATURE}
    given = {key: value for key, value in wanted.items() if key not in SIGNATURE}
    unknown = sorted(given.keys() - _Wanted.__annotations__.keys())
    if unknown:
        raise TypeError(f"unexpected keyword arguments: {', '.join(unknown)}")
    _refuse_nonsense(given)
    return Download(name=name, **_fields(given)), signature


def _refuse_nonsense(given: Mapping[str, Any]) -> None:
    """Raise `UsageError` where options can't be, or hold a credential."""
    from geographer.base.errors import UsageError
    from geographer.operations.download.make_source import refuse_secrets

    count, bands = given.get("target_count", 1), given.get("bands", ())
    if count < 1:
        raise UsageError(f"--target-count {count} asks for nothing: pass 1 or more")
    if given.get("union") and count != 1:
        raise UsageError("--union covers each feature once: leave --target-count out")
    for key in _NUMBERS:
        if given.get(key) is not None and not isfinite(given[key]):
            raise UsageError(f"--{key.replace('_', '-')} {given[key]} is no number: leave it out, or give one")
    if not isinstance(bands, str) and len(set(bands)) < len(bands):
        raise UsageError(f"--bands {','.join(bands)} names a band twice: name each once")
    for key, option in _OPTIONS.items():
        refuse_secrets(given.get(key) or {}, option)


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given as the fields of the recipe, in the types in which they come back from the log."""
    from geographer.operations.cut.custom import kept_options
    from geographer.operations.download.parameters import SourceName
    from geographer.planning.selection import parse_selection

    found = {"source": "eodag", **given}
    for key in _NUMBERS:
        if found.get(key) is not None:
            found[key] = float(found[key])
    for key in ("where", "rasters_where"):
        found[key] = parse_selection(found.get(key))
    for key in _OPTIONS:
        found[key] = kept_options(found.get(key) or {})
    found["source"] = SourceName.of(found["source"])
    bands = found.get("bands", ())
    found["bands"] = (bands,) if isinstance(bands, str) else tuple(bands)
    return {_FIELDS.get(key, key): value for key, value in found.items()}
