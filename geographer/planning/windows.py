"""Which pixel windows become chips: around features, or in a grid; and what the chips are called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import get_args
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from geographer.errors import UsageError, naming
from geographer.planning.placement import (
    OBSTACLES,
    RASTER_SMALLER,
    AtBorder,
    Ints,
    Mode,
    Pairs,
    Tally,
    pairs_of,
    places,
)
from geographer.planning.randomness import generator
from geographer.values import Window

_LONGEST_NAME, _DIGEST_LENGTH = 200, 32

_PIXELS = [(name, pa.int64()) for name in Window._fields]
_CHIPS_AROUND = pa.schema(
    [("raster_id", pa.string()), ("feature_id", pa.string()), ("feature_key", pa.int64()), *_PIXELS]
)
_UNMET = pa.schema([("feature_id", pa.string()), ("reason", pa.string()), ("have", pa.int64()), ("wanted", pa.int64())])
_CELLS = pa.schema([("raster_id", pa.string()), *_PIXELS])
_UNCUT = pa.schema([("raster_id", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True, slots=True)
class AroundPlan:
    """The chips to make around features, and the features that stay short of chips.

    `chips`: `raster_id` (the parent), `feature_id`, `feature_key`, `col`, `row`, `width`, `height` (pixels of
    the parent, int64), in the order in which they were decided. `unmet`: `feature_id`, `reason`, `have`
    (chips of the recipe that contain it, int64), `wanted` (int64), in the order of the features' keys.
    """

    chips: pa.Table
    unmet: pa.Table


@dataclass(frozen=True, slots=True)
class GridPlan:
    """The cells to make, and the rasters that can't have any.

    `chips`: `raster_id` (the parent), `col`, `row`, `width`, `height` (pixels of the parent, int64), by
    raster, then row, then column. `uncut`: `raster_id`, `reason`.
    """

    chips: pa.Table
    uncut: pa.Table


def plan_around(
    candidates: pa.Table,
    rasters: pa.Table,
    existing: pa.Table,
    *,
    selected: pa.Table,
    size: tuple[int, int],
    mode: Mode,
    seed: int,
    target_count: int,
    at_border: AtBorder,
    held: pa.Table | None = None,
) -> AroundPlan:
    """The chips it takes for each feature to lie in `target_count` chips, or as many as can be.

    Features take their turn by `feature_key`. One that `target_count` chips contain already gets none, so
    clusters are not over-represented. Another gets at most one chip a raster, in the order of raster ids,
    first from the rasters whose chips don't contain it yet. No window of a raster is used twice. The order of
    rows in the tables changes nothing, and a feature changes nothing for those with a smaller key.

    A chip contains a feature when the feature's bounds lie in the chip's, edges included, and reach its
    interior: a point or straight line on the chip's edge is outside, as in OGC `contains`. (Bounds don't show
    a line that runs along two or more edges of a chip and nowhere else: it counts as contained here.) The
    chip's bounds are those that rasterio gives for the chip's own transform, to the last bit.

    A `centered` window has its centre as near to the centre of the feature's bounds as whole pixels allow,
    with ties to the greater column and row; the feature's centre is first rounded to 1/1024 pixel, so that
    noise in coordinates doesn't decide such ties. It is then moved as little as it takes to contain the
    feature. A `random` window is uniform among all that contain the feature (and lie inside the raster,
    unless padded), drawn from `generator(seed, feature_id, raster_id)`: first the column, then the row.

    Args:
        candidates: one row for each pair of a selected feature and a raster that contains it: `feature_key`,
            `raster_id`, and the feature's bounds `xmin`, `ymin`, `xmax`, `ymax` (float64, x and y of the
            raster's CRS). For rasters with `b` or `d` non-zero `pmin_col`, `pmin_row`, `pmax_col`, `pmax_row`
            (float64, bounds in the raster's pixels, (0, 0) the outer corner of the first) count instead; for
            others they may be null, or the columns missing.
        rasters: `raster_id`, `width`, `height` (pixels) and the transform `a`, `b`, `c`, `d`, `e`, `f` (as in
            `values.Transform`, to x and y of the raster's CRS; south-up and mirrored ones too).
        existing: chips that the recipe has already: `raster_id` of the parent, `col`, `row`, `width`,
            `height`. Those of rasters that aren't in `rasters` are passed over.
        selected: all features that want chips: `feature_key` (int64, increasing in the order in which
            features were added) and `feature_id`.
        size: width and height of a chip, pixels.
        mode: where a chip lies around its feature.
        seed: the recipe's; `centered` doesn't use it.
        target_count: in how many chips each feature should lie.
        at_border: what happens to a window that reaches over the raster's edge: `shift` moves it inside,
            `pad` leaves it (`col` and `row` may be negative), `skip` drops it. `random` windows are drawn
            inside by both `shift` and `skip`.
        held: in how many more chips selected features lie, those of rasters that aren't in `rasters`:
            `feature_key` (each once), `chips` (int64).

    Raises:
        UsageError: an option is out of range, a transform has no inverse, or a feature has no finite bounds.
        NotFoundError: a candidate's feature or raster isn't in the other tables.
    """
    _check_options(size, mode, at_border, target_count)
    features = selected.select(["feature_key", "feature_id"]).sort_by("feature_key")
    scenes = rasters.sort_by("raster_id")
    feature_ids, raster_ids = features["feature_id"].to_pylist(), scenes["raster_id"].to_pylist()
    pairs = pairs_of(candidates, features, scenes)
    across = places(pairs.columns, size[0], mode, at_border)
    down = places(pairs.rows, size[1], mode, at_border)
    obstacle = np.maximum(across.obstacle, down.obstacle)
    tally = Tally(pairs, len(feature_ids))
    for raster, window in _windows(existing, raster_ids):
        tally.add(raster, window)
    if held is not None:
        known = np.isin(features["feature_key"].to_numpy(), held["feature_key"].to_numpy())
        tally.of_feature[known] += held.sort_by("feature_key")["chips"].to_numpy()

    def window_of(pair: int) -> Window:
        random = None
        if mode == "random":
            random = generator(seed, feature_ids[pairs.feature[pair]], raster_ids[pairs.raster[pair]])
        return Window(across.at(pair, random), down.at(pair, random), *size)

    chips: list[tuple[int, Window]] = []
    turns = np.searchsorted(pairs.feature, np.arange(len(feature_ids) + 1)).tolist()
    for feature, (start, stop) in enumerate(pairwise(turns)):
        for pair in sorted(range(start, stop), key=tally.seen):
            if tally.of_feature[feature] >= target_count:
                break
            if not obstacle[pair] and tally.add(int(pairs.raster[pair]), window := window_of(pair)):
                chips.append((pair, window))
    return AroundPlan(
        chips=_around_table(chips, pairs, features, scenes),
        unmet=_unmet_table(feature_ids, turns, tally.of_feature, obstacle, target_count),
    )


def plan_grid(rasters: pa.Table, existing: pa.Table, *, size: tuple[int, int], at_border: AtBorder) -> GridPlan:
    """The windows that tile each raster from its upper-left pixel, without those that exist.

    Args:
        rasters: `raster_id`, `width`, `height` (pixels).
        existing: chips that the recipe has already: `raster_id` of the parent, `col`, `row`, `width`,
            `height`.
        size: width and height of a chip, pixels.
        at_border: what happens to the last column and row where they would reach over the edge: `shift` moves
            them inside (they share pixels with their neighbours), `pad` leaves them, `skip` drops them. A
            raster smaller than a chip has no cells, except with `pad`.

    Raises:
        UsageError: an option is out of range.
    """
    _check_options(size, "centered", at_border)
    scenes = rasters.sort_by("raster_id")
    raster_ids = scenes["raster_id"].to_pylist()
    taken = set(_windows(existing, raster_ids))
    cells: list[tuple[int, Window]] = []
    uncut = []
    for raster, (width, height) in enumerate(
        zip(scenes["width"].to_pylist(), scenes["height"].to_pylist(), strict=True)
    ):
        cols, rows = _tiles(width, size[0], at_border), _tiles(height, size[1], at_border)
        cells += [(raster, Window(col, row, *size)) for row, col in product(rows, cols)]
        if not (cols and rows):
            uncut.append((raster_ids[raster], OBSTACLES[RASTER_SMALLER]))
    cells = [cell for cell in cells if cell not in taken]
    parents = scenes["raster_id"].take(_int64([raster for raster, _ in cells]))
    return GridPlan(
        chips=pa.table([parents, *_pixel_columns([window for _, window in cells])], schema=_CELLS),
        uncut=_table(uncut, _UNCUT),
    )


def chip_name(parent_id: str, feature_id: str) -> str:
    """The file stem of the chip around a feature: `rmnp-rgb_G239`; different for different ids.

    Letters, digits, `.`, `-` and `_` of ASCII stay; other characters are percent-encoded as UTF-8, and so are
    a dot or hyphen at the parent's beginning (a hidden file, an option) and an underscore at its end. An
    underscore in the feature's id is doubled, so the last run of underscores with an odd length begins with
    the separator, and the name can be taken apart again. A name of more than 200 bytes is cut, and ends in
    `~` (encoded in ids) and 32 hexadecimal digits of the SHA-256 of the whole name.

    Ids that differ only in case have names that differ only in case. Dots stay: append an extension, as
    `Path.with_suffix` would replace a part of the name.
    """
    parent = _leading(parent_id)
    if parent.endswith("_"):
        parent = parent[:-1] + "%5F"
    return _shortened(f"{parent}_{_encoded(feature_id).replace('_', '__')}")


def cell_name(parent_id: str, col: int, row: int) -> str:
    """The file stem of the chip whose upper-left pixel is at `col`, `row` of its parent: `rmnp-rgb_c0_r256`.

    Encoded and cut as `chip_name` does; different for each parent and position.
    """
    return _shortened(f"{_leading(parent_id)}_c{col}_r{row}")


def _check_options(size: tuple[int, int], mode: Mode, at_border: AtBorder, target_count: int = 1) -> None:
    if min(size) < 1:
        raise UsageError(f"a chip of {size[0]} x {size[1]} pixels has no pixels: pass a size of 1 or more")
    if target_count < 1:
        raise UsageError(f"target count {target_count} asks for no chip: pass 1 or more")
    for value, choices in ((mode, get_args(Mode)), (at_border, get_args(AtBorder))):
        if value not in choices:
            raise UsageError(f"'{value}' is not among {naming(list(choices))}: pass one of them")


def _windows(existing: pa.Table, raster_ids: Sequence[str]) -> Iterator[tuple[int, Window]]:
    """Each chip that there is, by the row of its parent; without those of other parents."""
    rows = {raster_id: row for row, raster_id in enumerate(raster_ids)}
    columns = (existing[name].to_pylist() for name in ("raster_id", *Window._fields))
    return (
        (rows[raster_id], Window(*pixels)) for raster_id, *pixels in zip(*columns, strict=True) if raster_id in rows
    )


def _around_table(chips: Sequence[tuple[int, Window]], pairs: Pairs, features: pa.Table, scenes: pa.Table) -> pa.Table:
    """The table of decided chips (pair and window) under their ids."""
    decided = np.array([pair for pair, _ in chips], np.int64)
    raster_id = scenes["raster_id"].take(_int64(pairs.raster[decided]))
    owner = features.take(_int64(pairs.feature[decided]))
    pixels = _pixel_columns([window for _, window in chips])
    return pa.table([raster_id, owner["feature_id"], owner["feature_key"], *pixels], schema=_CHIPS_AROUND)


def _unmet_table(feature_ids: Sequence[str], turns: Sequence[int], have: Ints, obstacle: Ints, wanted: int) -> pa.Table:
    """The features in fewer chips than wanted, and why; `turns` bounds each feature's rows of `obstacle`."""
    rows = [
        (
            feature_ids[feature],
            _reason(obstacle[turns[feature] : turns[feature + 1]]),
            int(have[feature]),
            wanted,
        )
        for feature in np.flatnonzero(have < wanted).tolist()
    ]
    return _table(rows, _UNMET)


def _reason(obstacle: Ints) -> str:
    """Why a feature has too few chips, from the obstacles in the rasters that contain it."""
    if not len(obstacle):
        return "no raster contains it"
    if obstacle.any():
        return "; ".join(OBSTACLES[kind] for kind in np.unique(obstacle[obstacle > 0])[::-1].tolist())
    return "only 1 raster contains it" if len(obstacle) == 1 else f"only {len(obstacle)} rasters contain it"


def _tiles(extent: int, size: int, at_border: AtBorder) -> list[int]:
    """Where the tiles of an axis of `extent` pixels begin."""
    if at_border == "pad":
        return list(range(0, extent, size))
    inside = list(range(0, extent - size + 1, size))
    if at_border == "shift" and inside and extent % size:
        inside.append(extent - size)
    return inside


def _int64(values: Sequence[int] | Ints) -> pa.Array:
    """An Arrow column, int64 even when empty."""
    return pa.array(values, pa.int64())


def _table(rows: Sequence[Sequence[object]], schema: pa.Schema) -> pa.Table:
    """Rows as a table, also when there is none."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def _pixel_columns(windows: Sequence[Window]) -> list[pa.Array]:
    """`col`, `row`, `width` and `height` as columns."""
    return [_int64([window[field] for window in windows]) for field in range(4)]


def _encoded(text: str) -> str:
    """An id in ASCII letters, digits, `.`, `-`, `_` and `%`."""
    return quote(text, safe="").replace("~", "%7E")


def _leading(text: str) -> str:
    """The same for an id with which a name begins."""
    encoded = _encoded(text)
    return f"%{ord(encoded[0]):02X}{encoded[1:]}" if encoded.startswith((".", "-")) else encoded


def _shortened(name: str) -> str:
    """The name, or where it is too long its beginning and a digest of all of it."""
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode("ascii")).hexdigest()[:_DIGEST_LENGTH]
    return f"{name[: _LONGEST_NAME - _DIGEST_LENGTH - 1]}~{digest}"
