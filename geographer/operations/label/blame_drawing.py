"""Draw one pixel of a label as its recipe draws the whole label, and say what each feature there does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import duckdb
import numpy as np
import shapely

from geographer.algorithms.bounding_boxes import compute_boxes
from geographer.base.values import Window
from geographer.operations.label.base import LabelRecipe
from geographer.operations.label.blame_inputs import (
    DrawableFeature,
    FeatureEdge,
    RasterVersion,
    find_features,
    find_raster_checksums,
    find_valid_window,
    list_edges,
    read_label_settings,
    sort_by_addition,
)
from geographer.operations.label.boxes import LabelBoxes
from geographer.operations.label.custom import LabelCustom
from geographer.operations.label.masks import LabelInstances, LabelMask, LabelMultilabel
from geographer.operations.label.probabilities import LabelProbabilities
from geographer.operations.label.rendering.pixel_geometries import PixelGeometries, to_pixel_geometries
from geographer.operations.label.rendering.probabilities import SCALE
from geographer.operations.label.rendering.rasterize import draw_instances, list_mask_layers, sort_for_drawing
from geographer.operations.label.tasks import LabelTask
from geographer.planning.up_to_date_labels import LabelSettings
from geographer.planning.user_columns import PROBABILITY_PREFIX
from geographer.rasters.burning import burn_values
from geographer.rasters.pixel import is_valid_pixel
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.dvc.store import Store
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.revision_files import find_raster_file, find_recorded_file

Value: TypeAlias = int | float | Sequence[int | float] | Sequence[str]
"""The value of a pixel: of one band, of several, or the ids of the objects whose boxes contain it."""


class Pixel(NamedTuple):
    """A pixel of a label of a raster: its column and row, from 0 at the upper left."""

    label: str
    raster_id: str
    x: int
    y: int


class PixelLayer(NamedTuple):
    """A feature that covers a pixel, and what it does there.

    `role` is 'on top', 'overdrawn', 'erases', 'erased', 'ignored', 'contributes', 'contains' (a box) or 'covers' (of a
    label maker). `values` is what it contributes to each band of a probability label.
    """

    feature: DrawableFeature
    role: str
    values: list[float] | None = None


class Drawing(NamedTuple):
    """The value that a pixel should have, None if only a label maker knows; the features there from bottom to top.

    `is_invalid` is true where the raster has no valid data and the recipe ignores such pixels.
    """

    value: Value | None
    layers: list[PixelLayer]
    is_invalid: bool = False


class PixelSources(NamedTuple):
    """What a pixel is drawn from at a revision."""

    connection: duckdb.DuckDBPyConnection
    position: int
    store: Store
    recipe: LabelRecipe
    settings: LabelSettings
    raster: RasterVersion
    edges: list[FeatureEdge]
    pixel: Pixel


def make_sources(
    connection: duckdb.DuckDBPyConnection,
    position: int,
    store: Store,
    recipe: LabelRecipe,
    pixel: Pixel,
    raster: RasterVersion | None,
) -> PixelSources | None:
    """Return what a pixel is drawn from; None without a raster."""
    if raster is None:
        return None
    has_bands = isinstance(recipe, LabelProbabilities | LabelMultilabel | LabelCustom)
    settings = read_label_settings(connection, position, pixel.label) if has_bands else LabelSettings()
    edges = list_edges(connection, raster)
    return PixelSources(connection, position, store, recipe, settings, raster, edges, pixel)


def is_in_box(box: Sequence[float], pixel: Pixel) -> bool:
    """Return whether a box (x0, y0, x1, y1) in pixel coordinates contains the centre of a pixel."""
    x0, y0, x1, y1 = box
    return x0 <= pixel.x + 0.5 <= x1 and y0 <= pixel.y + 0.5 <= y1


def draw_pixel(sources: PixelSources) -> Drawing:
    """Draw one pixel as the recipe draws the whole label."""
    features = find_features(sources.connection, sources.position, sources.raster, sources.recipe, sources.edges)
    if isinstance(sources.recipe, LabelBoxes):
        return _draw_boxes(sources, sources.recipe, features)
    draw = next(draw for kind, draw in _DRAWINGS.items() if isinstance(sources.recipe, kind))
    return draw(sources, features)


def _draw_mask(sources: PixelSources, features: list[DrawableFeature]) -> Drawing:
    recipe = sources.recipe
    assert isinstance(recipe, LabelMask)
    covering = _find_covering(sources, features, represent_small=not recipe.all_touched, all_touched=recipe.all_touched)
    if recipe.ignore_where is not None and covering:
        covering = _mark_ignored(sources, covering, recipe.ignore_where)
    shapes = _make_shapes(sources, covering, represent_small=not recipe.all_touched)
    by_id = {feature.item.feature_id: feature for feature in covering}
    layers = [
        PixelLayer(by_id[shapes.objects[index].feature_id], _name_role(shapes, index))
        for index, _ in list_mask_layers(shapes, recipe)
    ]
    value = list_mask_layers(shapes, recipe)[-1][1] if layers else 0
    is_invalid = recipe.ignore is not None and _is_invalid(sources)
    value = recipe.ignore if is_invalid and recipe.ignore is not None else value
    return Drawing(value, _mark_top(layers, is_hidden=is_invalid), is_invalid)


def _draw_instances(sources: PixelSources, features: list[DrawableFeature]) -> Drawing:
    recipe = sources.recipe
    assert isinstance(recipe, LabelInstances)
    features = sort_by_addition(sources.connection, sources.position, features)
    shapes = _make_shapes(sources, features)
    drawn, ids, _ = draw_instances(shapes, recipe.overlap)
    covering = set(_list_covering_indices(shapes, sources.pixel))
    by_id = {feature.item.feature_id: feature for feature in features}
    order = [index for index in (*sort_for_drawing(shapes, recipe.overlap), *shapes.background) if index in covering]
    layers = [PixelLayer(by_id[shapes.objects[index].feature_id], _name_role(shapes, index)) for index in order]
    return Drawing(int(ids[int(drawn[sources.pixel.y, sources.pixel.x])]), _mark_top(layers))


def _draw_multilabel(sources: PixelSources, features: list[DrawableFeature]) -> Drawing:
    covering = _find_covering(sources, features)
    is_erased = any(feature.item.value == 0 for feature in covering)
    classes = {feature.item.class_name for feature in covering if feature.item.value != 0}
    layers = [PixelLayer(feature, _name_sharing_role(feature, is_erased=is_erased)) for feature in covering]
    return Drawing([int(band in classes and not is_erased) for band in sources.settings.bands or ()], layers)


def _draw_probabilities(sources: PixelSources, features: list[DrawableFeature]) -> Drawing:
    recipe, bands = sources.recipe, list(sources.settings.bands or ())
    assert isinstance(recipe, LabelProbabilities)
    classes = bands[1:] if recipe.background_band else bands
    covering = _find_covering(sources, features)
    is_erased = any(feature.item.value == 0 for feature in covering)
    layers = [
        PixelLayer(
            feature, _name_sharing_role(feature, is_erased=is_erased), _read_probabilities(feature, recipe, classes)
        )
        for feature in covering
    ]
    given = np.array([layer.values for layer in layers if layer.feature.item.value != 0], float).reshape(
        -1, len(classes)
    )
    scaled = np.round(np.nan_to_num(given) * SCALE).astype(np.int64)
    if recipe.combine == "mean":
        combined = scaled.sum(axis=0) / (max(len(scaled), 1) * float(SCALE))
    else:
        combined = scaled.max(axis=0, initial=0) / float(SCALE)
    values = np.zeros(len(classes)) if is_erased else combined
    if recipe.background_band:
        total = 0.0
        for value in values:
            total += value
        values = np.concatenate([[np.clip(1 - total, 0, 1)], values])
    return Drawing(values.astype(np.float32).tolist(), layers)


def _draw_boxes(sources: PixelSources, recipe: LabelBoxes, features: list[DrawableFeature]) -> Drawing:
    features = sort_by_addition(sources.connection, sources.position, features)
    shapes = _make_shapes(sources, features, represent_small=False)
    by_id = {feature.item.feature_id: feature for feature in features}
    grid, layers = sources.raster.grid, []
    for item, geometry in zip(shapes.objects, shapes.geometries, strict=True):
        boxes = compute_boxes(geometry, grid.width, grid.height) if item.value != 0 else None
        if boxes is not None and boxes.visible >= recipe.min_visible and is_in_box(boxes.box, sources.pixel):
            layers.append(PixelLayer(by_id[item.feature_id], "contains"))
    return Drawing([layer.feature.item.feature_id for layer in layers], layers)


def _draw_custom(sources: PixelSources, features: list[DrawableFeature]) -> Drawing:
    covering = _find_covering(sources, features, represent_small=False)
    return Drawing(None, [PixelLayer(feature, "covers") for feature in covering])


_DRAWINGS: Final[Mapping[type[LabelRecipe], Callable[[PixelSources, list[DrawableFeature]], Drawing]]] = {
    LabelMask: _draw_mask,
    LabelInstances: _draw_instances,
    LabelMultilabel: _draw_multilabel,
    LabelProbabilities: _draw_probabilities,
    LabelCustom: _draw_custom,
}


def _make_shapes(
    sources: PixelSources, features: Sequence[DrawableFeature], *, represent_small: bool = True
) -> PixelGeometries:
    items = tuple(feature.item for feature in features)
    task = LabelTask(sources.pixel.raster_id, sources.raster.grid, items, destination="")
    return to_pixel_geometries(task, sources.recipe.line_width, represent_small=represent_small)


def _find_covering(
    sources: PixelSources, features: list[DrawableFeature], *, represent_small: bool = True, all_touched: bool = False
) -> list[DrawableFeature]:
    """Return the features that cover the pixel, in the order in which they were added."""
    shapes = _make_shapes(sources, features, represent_small=represent_small)
    indices = _list_covering_indices(shapes, sources.pixel, all_touched=all_touched)
    ids = {shapes.objects[index].feature_id for index in indices}
    covering = [feature for feature in features if feature.item.feature_id in ids]
    return sort_by_addition(sources.connection, sources.position, covering)


def _list_covering_indices(shapes: PixelGeometries, pixel: Pixel, *, all_touched: bool = False) -> list[int]:
    """Return the indices of objects that cover a pixel, by the rule by which labels are burned."""
    window = Window(pixel.x, pixel.y, 1, 1)
    near = shapely.box(pixel.x - 1, pixel.y - 1, pixel.x + 2, pixel.y + 2)
    candidates = np.flatnonzero(shapely.intersects(shapely.envelope(shapes.drawn), near)).tolist()
    covers = (
        burn_values([(part, 1) for part in shapes.list_parts([index])], window, "uint8", all_touched=all_touched).any()
        for index in candidates
    )
    return [index for index, is_covering in zip(candidates, covers, strict=True) if is_covering]


def _mark_ignored(sources: PixelSources, features: list[DrawableFeature], condition: str) -> list[DrawableFeature]:
    """Return the features, those for which the recipe's SQL expression is true as ignored ones."""
    revision, ids = Revision(sources.connection, sources.position), [feature.item.feature_id for feature in features]
    with translate_sql_errors(condition, "--ignore-where"):
        checked = revision.validate_filter("features", condition, "--ignore-where")
        query = (
            f"SELECT feature_id::VARCHAR FROM features WHERE ({checked}) AND list_contains($ids, feature_id::VARCHAR)"  # noqa: S608
        )
        ignored = {row[0] for row in revision.fetch_rows(query, {"ids": ids})}
    return [
        feature._replace(item=feature.item._replace(ignored=feature.item.feature_id in ignored)) for feature in features
    ]


def _is_invalid(sources: PixelSources) -> bool:
    """Return whether the raster has no valid data at the pixel, or the pixel is padding."""
    raster, pixel = sources.raster, sources.pixel
    window = find_valid_window(sources.connection, raster)
    if window is not None:
        column, row, width, height = window
        if not (column <= pixel.x < column + width and row <= pixel.y < row + height):
            return True
    if raster.storage == "dvc":
        recorded, checksums = find_raster_checksums(sources.connection, sources.position, raster.raster_id)
        name = f"raster '{raster.raster_id}'"
        path, with_sidecars = find_recorded_file(sources.store, sources.store.root / recorded, checksums, name), False
    else:
        revision = Revision(sources.connection, sources.position)
        path, with_sidecars = find_raster_file(revision, sources.store, raster.raster_id)
    return not is_valid_pixel(path, pixel.x, pixel.y, with_sidecars=with_sidecars)


def _read_probabilities(feature: DrawableFeature, recipe: LabelProbabilities, classes: list[str]) -> list[float]:
    """Return the probability of each class, as `feature_probabilities.sql` does."""
    properties = feature.item.properties or {}
    texts = [properties.get(recipe.columns.get(name, PROBABILITY_PREFIX + name)) for name in classes]
    if all(text is None for text in texts):
        return [float(name == feature.item.class_name) for name in classes]
    return [_parse_probability(text) for text in texts]


def _parse_probability(value: Any) -> float:
    """Return a recorded probability: 0 if there is none, and NaN, which no label has, if it is not a number."""
    if value is None:
        return 0.0
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return math.nan


def _name_role(shapes: PixelGeometries, index: int) -> str:
    item = shapes.objects[index]
    return "ignored" if item.ignored else "erases" if item.value == 0 else "overdrawn"


def _name_sharing_role(feature: DrawableFeature, *, is_erased: bool) -> str:
    if feature.item.value == 0:
        return "erases"
    return "erased" if is_erased else "contributes"


def _mark_top(layers: list[PixelLayer], *, is_hidden: bool = False) -> list[PixelLayer]:
    """Return layers with the role of the topmost one, unless the pixel is invalid."""
    if not layers or is_hidden or layers[-1].role != "overdrawn":
        return layers
    return [*layers[:-1], layers[-1]._replace(role="on top")]
