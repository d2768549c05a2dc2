"""The pictures of the notebook: each function draws one, of a dataset as it is."""

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

BRIGHT: Final = 3000
"""The reflectance (times 10,000) that is shown as white."""
AROUND: Final = 52
"""How many pixels of a chip are shown around a stadium."""
PLACES: Final = {"London": (-0.75, 0.35, 51.3, 51.75), "Buenos Aires": (-58.75, -58.05, -34.85, -34.4)}
"""West, east, south and north of what the map of scenes shows, in degrees."""
PARTS: Final = {"train": "tab:blue", "val": "tab:orange", "test": "tab:red"}


def stadiums(dataset: Dataset, listed: Iterable[outlines.Stadium]) -> None:
    """Where the stadiums are; the cities are named after those `listed`."""
    world, britain = _two_maps(f"{len(dataset.features())} stadiums")
    for axes in (world, britain):
        axes.scatter(*_middles(dataset.features()), s=14, color="tab:red", edgecolor="black", linewidth=0.4)
    for number, stadium in enumerate({stadium.city: stadium for stadium in listed}.values()):
        axes = britain if stadium.country == "United Kingdom" else world
        place, offset = (stadium.longitude, stadium.latitude), (5, 4) if number % 2 else (5, -10)
        axes.annotate(stadium.city, place, offset, textcoords="offset points", fontsize=8)


def scenes(dataset: Dataset, items: Sequence[dict[str, Any]], chosen: Iterable[str]) -> None:
    """The scenes of the archive (STAC items) around two cities, and those of them that are chosen, by id."""
    ids = set(chosen)
    _, panels = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    for axes, (city, (west, east, south, north)) in zip(panels, PLACES.items(), strict=True):
        for item in items:
            taken = item["id"] in ids
            colour, width = ("tab:blue", 2) if taken else ("0.7", 0.5)
            outline = shapely.geometry.shape(item["geometry"]).exterior.xy
            axes.plot(*outline, color=colour, linewidth=width, zorder=1 + taken)
        axes.scatter(*_middles(dataset.features()), s=14, color="tab:red", edgecolor="black", linewidth=0.4, zorder=3)
        axes.set(xlim=(west, east), ylim=(south, north), title=city, aspect=1 / np.cos(np.radians(south)))
    handles = [Line2D([], [], color="tab:blue", linewidth=2), Line2D([], [], color="0.7", linewidth=0.5)]
    panels[0].legend(handles, ["chosen", "left"], loc="lower left", fontsize=8)


def chips(dataset: Dataset) -> None:
    """The scene that most chips were cut from, and their frames."""
    cut = dataset.chips().to_pylist()
    parents = [chip["parent_id"] for chip in cut]
    busiest = min(parents, key=lambda parent: (-parents.count(parent), parent))
    pixels = _seen(dataset, busiest)
    _, axes = plt.subplots(figsize=(5.4, 5.4), layout="constrained")
    axes.imshow(pixels[::2, ::2], extent=(0, pixels.shape[1], pixels.shape[0], 0))
    for chip in cut:
        if chip["parent_id"] == busiest:
            corner, size = (chip["col"], chip["row"]), (chip["width"], chip["height"])
            axes.add_patch(plt.Rectangle(corner, *size, fill=False, color="tab:orange", linewidth=2))
    axes.set_title(f"{busiest}: {parents.count(busiest)} chips", fontsize=9)


def labels(dataset: Dataset) -> None:
    """A stadium of each class on one of its chips, and its mask."""
    query = """
        SELECT class, min(raster_id) AS chip FROM edges JOIN features USING (feature_id)
        WHERE relation = 'contains' AND raster_id LIKE 'chips/%' GROUP BY class ORDER BY class
    """
    shown = dataset.sql(query).to_pylist()
    _, panels = plt.subplots(2, len(shown), figsize=(9, 4), layout="constrained", squeeze=False)
    for (above, below), row in zip(panels.T, shown, strict=True):
        (path,) = dataset.labels(where=f"raster_id = '{row['chip']}'")["path"].to_pylist()
        with rasterio.open(dataset.root / path) as raster:
            mask = raster.read(1)
        places = np.argwhere(mask == list(outlines.SIDES).index(row["class"]) + 1)
        top, left = np.clip(places[0] - AROUND // 2, 0, np.array(mask.shape) - AROUND)
        window = np.s_[top : top + AROUND, left : left + AROUND]
        above.imshow(_seen(dataset, row["chip"])[window])
        below.imshow(mask[window], cmap="turbo", vmin=0, vmax=len(outlines.SIDES), interpolation="nearest")
        above.set_title(row["class"], fontsize=9)
    for axes in panels.ravel():
        axes.set(xticks=[], yticks=[])


def split(dataset: Dataset, title: str) -> None:
    """Where the chips of each part are."""
    part_of = dict(zip(*(dataset.splits()[name].to_pylist() for name in ("raster_id", "part")), strict=True))
    cut = dataset.rasters(where="collection = 'chips'")
    x, y = _middles(cut)
    each = np.array([str(part_of.get(chip)) for chip in cut["raster_id"].to_pylist()])
    world, britain = _two_maps(title)
    for part, colour in PARTS.items():
        for axes in (world, britain):
            axes.scatter(x[each == part], y[each == part], s=30, color=colour, alpha=0.6, label=part)
    world.legend(loc="lower left", fontsize=8)


def cost(counts: dict[str, dict[str, int]]) -> None:
    """Scenes and chips of each tag as they are, and as one for each stadium would have been."""
    bars = [
        (f"{tag}: {what}", row[what], row["stadiums"]) for tag, row in counts.items() for what in ("scenes", "chips")
    ]
    names, used, each = zip(*bars, strict=True)
    _, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    axes.barh(names, each, color="0.85", label="one for each stadium")
    axes.bar_label(axes.barh(names, used, color="tab:green", label="used"), padding=2, fontsize=8)
    axes.invert_yaxis()
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def _two_maps(title: str) -> tuple[Axes, Axes]:
    """The axes of a map of the world, and of one of Great Britain."""
    _, (world, britain) = plt.subplots(1, 2, figsize=(9, 3.9), width_ratios=(3, 1), layout="constrained")
    world.set(xlim=(-140, 170), ylim=(-50, 65), xlabel="longitude (°)", ylabel="latitude (°)", title=title)
    britain.set(xlim=(-5.5, 1.5), ylim=(50.5, 56.7), xlabel="longitude (°)", title="Great Britain")
    for axes in (world, britain):
        axes.grid(alpha=0.3)
    return world, britain


def _middles(table: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Longitudes and latitudes of the middles of a table's geometries."""
    points = shapely.centroid(shapely.from_wkb(table[table.geometry].to_pylist()))
    return shapely.get_x(points), shapely.get_y(points)


def _seen(dataset: Dataset, raster_id: str) -> npt.NDArray[np.float64]:
    """A raster in natural colours, shape (rows, columns, 3), 0 to 1."""
    (path,) = dataset.rasters(where=f"raster_id = '{raster_id}'")["path"].to_pylist()
    with rasterio.open(dataset.root / Path(path)) as raster:
        return np.clip(raster.read([3, 2, 1]).transpose(1, 2, 0) / BRIGHT, 0, 1)
