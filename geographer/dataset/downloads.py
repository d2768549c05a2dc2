"""The verb that downloads: the scenes that features still lack, from an archive."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from geographer.dataset.changes import Changing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geographer.events import Recorded
    from geographer.queries.table import Table
    from geographer.recipes.choice import Select
    from geographer.recipes.download.recipe import Download
    from geographer.sources.source import Source


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
    where: str | Select | None
    rasters_where: str | Select | None
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

    def download(self, name: str, *, workers: int = 4, **wanted: Unpack[_Wanted]) -> Recorded:
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
        from geographer.queries.table import Table
        from geographer.recipes.kinds import require_same
        from geographer.recipes.recipe import Run

        recipe, signature = _declared(name, wanted)
        head = self._recorder.planning_head(signature.get("expected_head"))
        with self._recorder.at(head.position) as view:
            require_same(view, recipe)
            plan = recipe.plan(view, Run(self.root, progress=self._progress))
        return Table(plan.table()), plan.summary


def _declared(name: str, wanted: Mapping[str, Any]) -> tuple[Download, dict[str, Any]]:
    """The recipe, and the keyword arguments that all changes share."""
    unknown = sorted(wanted.keys() - _Wanted.__annotations__.keys() - _Signed.__annotations__.keys())
    if unknown:
        raise TypeError(f"unexpected keyword arguments: {', '.join(unknown)}")
    signature = {key: value for key, value in wanted.items() if key in _Signed.__annotations__}
    return _recipe(name, **{key: value for key, value in wanted.items() if key not in signature}), signature


def _recipe(
    name: str,
    *,
    source: str | type[Source] = "eodag",
    provider: str | None = None,
    collection: str | None = None,
    start: str | None = None,
    end: str | None = None,
    max_cloud: float | None = None,
    near: str | None = None,
    query: Mapping[str, Any] | None = None,
    source_options: Mapping[str, Any] | None = None,
    into: str = "source",
    where: str | Select | None = None,
    rasters_where: str | Select | None = None,
    target_count: int = 1,
    union: bool = False,
    keep_twins: bool = False,
    footprint: Literal["bounds", "valid"] = "valid",
    reader: str | None = None,
    bands: Sequence[str] = (),
    resolution: float | None = None,
    reader_options: Mapping[str, Any] | None = None,
    time_limit: float = 60.0,
) -> Download:
    from geographer.errors import UsageError
    from geographer.recipes.choice import choice_of
    from geographer.recipes.cut.own import kept_options
    from geographer.recipes.download.archive import refuse_secrets
    from geographer.recipes.download.asked import SourceName
    from geographer.recipes.download.recipe import Download

    if target_count < 1:
        raise UsageError(f"--target-count {target_count} asks for nothing: pass 1 or more")
    if union and target_count != 1:
        raise UsageError("--union covers each feature once: leave --target-count out")
    numbers = {"--max-cloud": max_cloud, "--resolution": resolution, "--time-limit": time_limit}
    for option, number in numbers.items():
        if number is not None and not isfinite(number):
            raise UsageError(f"{option} {number} is no number: leave it out, or give one")
    if len(set(bands)) < len(bands):
        raise UsageError(f"--bands {','.join(bands)} names a band twice: name each once")
    options = {"--query": query or {}, "--source-option": source_options or {}, "--reader-option": reader_options or {}}
    for option, given in options.items():
        refuse_secrets(given, option)
    return Download(
        name=name,
        archive=SourceName.of(source),
        provider=provider,
        product_collection=collection,
        start=start,
        end=end,
        max_cloud=None if max_cloud is None else float(max_cloud),
        near=near,
        query=kept_options(query or {}),
        options=kept_options(source_options or {}),
        into=into,
        where=choice_of(where),
        rasters_where=choice_of(rasters_where),
        target_count=target_count,
        union=union,
        keep_twins=keep_twins,
        footprint=footprint,
        reader=reader,
        bands=(bands,) if isinstance(bands, str) else tuple(bands),
        resolution=None if resolution is None else float(resolution),
        reading=kept_options(reader_options or {}),
        time_limit=float(time_limit),
    )
