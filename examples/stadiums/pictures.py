"""Figures of the notebook: each function plots one from the current state of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import outlines
import rasterio
import shapely
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from geographer import Dataset

WHITE_REFLECTANCE: Final = 3000
"""Reflectance (times 10,000) shown as white."""
CROP_SIZE: Final = 52
"""Size of the window around a stadium, in pixels."""
MAP_EXTENTS: Final = {"London": (-0.75, 0.35, 51.3, 51.75), "Buenos Aires": (-58.75, -58.05, -34.85, -34.4)}
"""West, east, south and north of the maps of scenes, in degrees."""
PART_COLOURS: Final = {"train": "tab:blue", "val": "tab:orange", "test": "tab:red"}


def plot_stadiums(dataset: Dataset, labelled: Iterable[outlines.Stadium]) -> None:
    """Plot the stadiums on maps, with the names of the cities of `labelled`."""
    world, britain = _make_two_maps(f"{len(dataset.features())} stadiums")
    for axes in (world, britain):
        axes.scatter(*_compute_centroids(dataset.features()), s=14, color="tab:red", edgecolor="black", linewidth=0.4)
    for number, stadium in enumerate({stadium.city: stadium for stadium in labelled}.values()):
        axes = britain if stadium.country == "United Kingdom" else world
        position, offset = (stadium.longitude, stadium.latitude), (5, 4) if number % 2 else (5, -10)
        axes.annotate(stadium.city, position, offset, textcoords="offset points", fontsize=8)


def plot_scenes(dataset: Dataset, items: Sequence[dict[str, Any]], selected_ids: Iterable[str]) -> None:
    """Plot the archive's scenes (STAC items) around two cities, and highlight the selected ones."""
    ids = set(selected_ids)
    _, panels = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    for axes, (city, (west, east, south, north)) in zip(panels, MAP_EXTENTS.items(), strict=True):
        for item in items:
            is_selected = item["id"] in ids
            colour, width = ("tab:blue", 2) if is_selected else ("0.7", 0.5)
            outline = shapely.geometry.shape(item["geometry"]).exterior.xy
            axes.plot(*outline, color=colour, linewidth=width, zorder=1 + is_selected)
        axes.scatter(
            *_compute_centroids(dataset.features()), s=14, color="tab:red", edgecolor="black", linewidth=0.4, zorder=3
        )
        axes.set(xlim=(west, east), ylim=(south, north), title=city, aspect=1 / np.cos(np.radians(south)))
    handles = [Line2D([], [], color="tab:blue", linewidth=2), Line2D([], [], color="0.7", linewidth=0.5)]
    panels[0].legend(handles, ["selected", "not selected"], loc="lower left", fontsize=8)


def plot_chips(dataset: Dataset) -> None:
    """Plot the scene with the most chips, and the outlines of its chips."""
    chips_table = dataset.chips().to_pylist()
    parents = [chip["parent_id"] for chip in chips_table]
    parent_id = min(parents, key=lambda parent: (-parents.count(parent), parent))
    pixels = _read_true_colour(dataset, parent_id)
    _, axes = plt.subplots(figsize=(5.4, 5.4), layout="constrained")
    axes.imshow(pixels[::2, ::2], extent=(0, pixels.shape[1], pixels.shape[0], 0))
    for chip in chips_table:
        if chip["parent_id"] == parent_id:
            corner, size = (chip["col"], chip["row"]), (chip["width"], chip["height"])
            axes.add_patch(plt.Rectangle(corner, *size, fill=False, color="tab:orange", linewidth=2))
    axes.set_title(f"{parent_id}: {parents.count(parent_id)} chips", fontsize=9)


def plot_labels(dataset: Dataset) -> None:
    """Plot a stadium of each class on one of its chips, and its mask."""
    query = """
        SELECT class, min(raster_id) AS chip FROM edges JOIN features USING (feature_id)
        WHERE relation = 'contains' AND raster_id LIKE 'chips/%' GROUP BY class ORDER BY class
    """
    rows = dataset.sql(query).to_pylist()
    _, panels = plt.subplots(2, len(rows), figsize=(9, 4), layout="constrained", squeeze=False)
    for (above, below), row in zip(panels.T, rows, strict=True):
        (path,) = dataset.labels(where=f"raster_id = '{row['chip']}'")["path"].to_pylist()
        with rasterio.open(dataset.root / path) as raster:
            mask = raster.read(1)
        pixels_of_class = np.argwhere(mask == list(outlines.SIDES).index(row["class"]) + 1)
        top, left = np.clip(pixels_of_class[0] - CROP_SIZE // 2, 0, np.array(mask.shape) - CROP_SIZE)
        window = np.s_[top : top + CROP_SIZE, left : left + CROP_SIZE]
        above.imshow(_read_true_colour(dataset, row["chip"])[window])
        below.imshow(mask[window], cmap="turbo", vmin=0, vmax=len(outlines.SIDES), interpolation="nearest")
        above.set_title(row["class"], fontsize=9)
    for axes in panels.ravel():
        axes.set(xticks=[], yticks=[])


def plot_split(dataset: Dataset, title: str) -> None:
    """Plot the chips of each part on maps."""
    part_of = dict(zip(*(dataset.splits()[name].to_pylist() for name in ("raster_id", "part")), strict=True))
    chips_table = dataset.rasters(where="collection = 'chips'")
    x, y = _compute_centroids(chips_table)
    parts = np.array([str(part_of.get(chip)) for chip in chips_table["raster_id"].to_pylist()])
    world, britain = _make_two_maps(title)
    for part, colour in PART_COLOURS.items():
        for axes in (world, britain):
            axes.scatter(x[parts == part], y[parts == part], s=30, color=colour, alpha=0.6, label=part)
    world.legend(loc="lower left", fontsize=8)


def plot_cost(counts: dict[str, dict[str, int]]) -> None:
    """Plot the numbers of scenes and chips at each tag, beside one per stadium."""
    bars = [
        (f"{tag}: {noun}", row[noun], row["stadiums"]) for tag, row in counts.items() for noun in ("scenes", "chips")
    ]
    names, used, parts = zip(*bars, strict=True)
    _, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    axes.barh(names, parts, color="0.85", label="one for each stadium")
    axes.bar_label(axes.barh(names, used, color="tab:green", label="used"), padding=2, fontsize=8)
    axes.invert_yaxis()
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def _make_two_maps(title: str) -> tuple[Axes, Axes]:
    """Return the axes of a world map and of a map of Great Britain."""
    _, (world, britain) = plt.subplots(1, 2, figsize=(9, 3.9), width_ratios=(3, 1), layout="constrained")
    world.set(xlim=(-140, 170), ylim=(-50, 65), xlabel="longitude (°)", ylabel="latitude (°)", title=title)
    britain.set(xlim=(-5.5, 1.5), ylim=(50.5, 56.7), xlabel="longitude (°)", title="Great Britain")
    for axes in (world, britain):
        axes.grid(alpha=0.3)
    return world, britain


def _compute_centroids(table: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return longitudes and latitudes of the centroids of a table's geometries."""
    points = shapely.centroid(shapely.from_wkb(table[table.geometry].to_pylist()))
    return shapely.get_x(points), shapely.get_y(points)


def _read_true_colour(dataset: Dataset, raster_id: str) -> npt.NDArray[np.float64]:
    """Return a raster in true colours, shape (rows, columns, 3), 0 to 1."""
    (path,) = dataset.rasters(where=f"raster_id = '{raster_id}'")["path"].to_pylist()
    with rasterio.open(dataset.root / Path(path)) as raster:
        return np.clip(raster.read([3, 2, 1]).transpose(1, 2, 0) / WHITE_REFLECTANCE, 0, 1)
