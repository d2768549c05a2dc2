"""What is asked of an archive: the parameters of a download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from geographer.archives.base import SOURCES
from geographer.base.plugins import Plugin
from geographer.planning.selection import SelectionSpec

if TYPE_CHECKING:
    from geographer.archives.base import Source

OURS: Final = {"eodag": "geographer.archives.eodag:EodagSource", "alos": "geographer.archives.alos:AlosWorld3d"}
"""The sources that come along, by name."""


@dataclass(frozen=True, slots=True)
class SourceName(Plugin):
    """A kind of archive, by its name and version."""

    @classmethod
    def of(cls, given: str | type[Source]) -> SourceName:
        """The source of that name: 'eodag', 'alos', an entry point in `geographer.sources`, 'module:Class', or a class.

        Raises:
            NotFoundError: there is none.
        """
        if isinstance(given, str) and given in OURS:
            return cls(given, "")
        return cls(*cls.resolve(given, SOURCES))

    def as_json(self) -> dict[str, str]:
        """What the log keeps."""
        return {"source": self.name, "version": self.version}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The fewest scenes of an archive such that `target_count` rasters contain every selected feature.

    Attributes:
        name: The recipe's name.
        archive: Of which kind: 'eodag', 'alos', or one of a person's own.
        provider: Whose; the source's own choice when None.
        product_collection: The archive's own collection (product type).
        start: The first moment of acquisition, ISO 8601, UTC where there is no offset.
        end: The last one; a date is meant to its end.
        max_cloud: The highest cloud cover, in percent. Scenes that state none pass.
        near: The moment that scenes should be near to; the middle of `start` and `end`, or else the newest scene's.
        query: More that the archive is asked for, in its own words.
        options: The source's own.
        into: The collection that the rasters go to, and whose rasters count.
        where: Only these features.
        rasters_where: Only these rasters of the collection count. What downloads tell of rasters may be named before
            the first of them ran.
        target_count: How many rasters are to contain each feature.
        union: Rasters are to cover each feature together instead.
        keep_twins: All processings of an acquisition count, not only the newest.
        footprint: What of a raster counts: all of its 'bounds', or its 'valid' pixels.
        reader: Which reader; the one that knows the files when None.
        bands: Which bands, by name; the reader's choice when empty.
        resolution: Of the pixels, in metres or units of the CRS; the finest when None.
        reading: The reader's own options.
        time_limit: How many seconds the proof that the scenes are the fewest may take.
    """

    kind: ClassVar[str] = "download"
    event: ClassVar[str] = "rasters_downloaded"

    name: str
    archive: SourceName
    provider: str | None = None
    product_collection: str | None = None
    start: str | None = None
    end: str | None = None
    max_cloud: float | None = None
    near: str | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    into: str = "source"
    where: SelectionSpec = None
    rasters_where: SelectionSpec = None
    target_count: int = 1
    union: bool = False
    keep_twins: bool = False
    footprint: Literal["bounds", "valid"] = "valid"
    reader: str | None = None
    bands: tuple[str, ...] = ()
    resolution: float | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    time_limit: float = 60.0

    def to_parameters(self) -> dict[str, Any]:
        """Every field but the name, as JSON."""
        return {one.name: _as_json(getattr(self, one.name)) for one in fields(self) if one.name != "name"}


def _as_json(value: Any) -> Any:
    """A field as the log keeps it; whole numbers as such."""
    if hasattr(value, "as_json"):
        return value.as_json()
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
