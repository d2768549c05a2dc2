"""`cut own`: chips of windows that a person's own cutter chooses."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import UsageError, quote_names
from geographer.base.plugins import Plugin, plugin_version
from geographer.base.values import Window
from geographer.operations.cut.base import CutRecipe, Ground, Wanted
from geographer.operations.cut.windows.chip_names import cell_name
from geographer.operations.cut.windows.plan_tables import chips_table
from geographer.planning.selection import SelectionSpec

if TYPE_CHECKING:
    import pyarrow as pa

CUTTERS: Final = "geographer.cutters"
"""The group of entry points that a cutter can be named by."""

_SELECTED: Final = Path(__file__).with_name("selected_features.sql")
_IN_PIXELS: Final = Path(__file__).with_name("contained_in_pixels.sql")


class Cutter(ABC):
    """A cutter of one's own: subclass it, and pass the class, or name it by an entry point in `geographer.cutters`.

    It decides which windows of which rasters become chips; that they are read, written, hashed, recorded, made again
    and retired is done for it. It must answer the same for the same tables; randomness comes from `seed`.
    """

    def __init__(self, **options: Any) -> None:
        """Take the options that the recipe was declared with, as JSON values."""
        self.options = options

    @abstractmethod
    def windows(
        self, features: pa.Table, rasters: pa.Table, contained: pa.Table, *, seed: int
    ) -> Iterable[tuple[str, Window]]:
        """The chips, each as its raster's id and its window in the raster's pixels: `geographer.Window`, or rasterio's.

        Args:
            features: the selected features in their order, with all their columns; `feature_id` is text, and `geometry`
                is WKB in longitude/latitude.
            rasters: the rasters to cut from, in their order: `raster_id`, `width`, `height`, the transform `a` to `f`,
                `crs`, `bands`, `nodata`, and `chip_width`, `chip_height`, the recipe's size in their pixels.
            contained: for each feature and each raster that contains it: `feature_id`, `raster_id`, and the feature's
                bounds in the raster's pixels, `pmin_col`, `pmin_row`, `pmax_col`, `pmax_row` (float64).
            seed: of the recipe.
        """


@dataclass(frozen=True, slots=True)
class CutterName(Plugin):
    """A cutter, by its name and version."""

    def as_json(self) -> dict[str, str]:
        """What the log keeps."""
        return {"cutter": self.name, "version": self.version}


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOwn(CutRecipe):
    """Chips of the windows that a `Cutter` answers."""

    kind: ClassVar[str] = "cut own"

    cutter: CutterName
    options: Mapping[str, Any] = field(default_factory=dict)
    where: SelectionSpec = None

    @property
    def padded(self) -> bool:
        """Only with a value to pad with."""
        return self.pad_value is not None

    def windows(self, ground: Ground) -> Wanted:
        """What the cutter answers."""
        brought = self.cutter.load_or_raise(CUTTERS)
        cutter = _made(brought, self)
        selected = ground.select_features(self.where)
        given = cutter.windows(
            ground.revision.fetch_arrow(_SELECTED.read_text()),
            ground.rasters,
            ground.revision.fetch_arrow(_IN_PIXELS.read_text(), {"collection": self.source}),
            seed=self.seed,
        )
        spots = sorted({_spot(one, self) for one in given or ()})
        unknown = sorted({raster_id for raster_id, _ in spots}.difference(ground.rasters["raster_id"].to_pylist()))
        if unknown:
            raise UsageError(
                f"cutter '{self.cutter.name}' named {quote_names(unknown)}: not among the rasters it was given"
            )
        good = [spot for spot in spots if ground.fits is None or ground.fits(*spot)]
        chips = chips_table([(_name(raster_id, window), raster_id, None, window) for raster_id, window in good])
        ran = {"cutter": self.cutter.name, "version": plugin_version(brought)}
        return Wanted(chips, {"features": len(selected), "unmet": {}, "cutter": ran})


def _made(brought: Any, recipe: CutOwn) -> Cutter:
    """The cutter, made with the recipe's options."""
    try:
        cutter = brought(**recipe.options)
    except TypeError as error:
        raise UsageError(f"cutter '{recipe.cutter.name}' can't be made of its options: {error}") from error
    if not isinstance(cutter, Cutter):
        raise UsageError(f"cutter '{recipe.cutter.name}' is no geographer.Cutter: make it a subclass of that")
    return cutter


def _spot(given: Any, recipe: CutOwn) -> tuple[str, Window]:
    """A raster's id and a window of whole pixels, which may be one of rasterio's."""
    try:
        raster_id, window = given
        sides = getattr(window, "flatten", lambda: tuple(window))()
        whole = Window(*map(int, sides))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"cutter '{recipe.cutter.name}' answered {given!r}: let it answer pairs of a raster's id and a window"
        ) from error
    if tuple(sides) != whole:
        raise UsageError(f"cutter '{recipe.cutter.name}' answered {given!r}: a window has whole pixels")
    return str(raster_id), whole


def kept_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """A cutter's options as they come back from the log, so that its first run sees what later ones see.

    Raises:
        UsageError: they are no JSON.
    """
    kept: dict[str, Any] = json.loads(canonical_json(dict(given)))
    return kept


def _name(raster_id: str, window: Window) -> str:
    """Two chips may begin at one pixel, so the size is a part of the name."""
    return f"{cell_name(raster_id, window.col, window.row)}~{window.width}x{window.height}"
