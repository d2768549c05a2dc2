"""Chips: a contact sheet of images with their masks, boxes and instances, each with its id, subset and class."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.base.text import format_count
from geographer.outputs.pictures.chip_pictures import (
    ChipPicture,
    PictureBox,
    PictureOptions,
    read_chip_pictures,
    read_class_styles,
)
from geographer.outputs.pictures.palette import OTHER_COLOUR, TEXT_COLOUR, Style
from geographer.outputs.plots.chip_outlines import ChipOutline, draw_chip_outlines, read_chip_outlines
from geographer.outputs.plots.plot import Plot, PlotTable
from geographer.outputs.plots.splits_plot import sort_subsets
from geographer.outputs.samples.selection import SampleSelection, stage_samples
from geographer.outputs.samples.training_rows import list_training_labels
from geographer.storage.database.connection import run_script

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from geographer.storage.queries.revision import Revision
    from geographer.storage.unit_of_work import UnitOfWork

_FOLDER: Final = Path(__file__).parent
MAX_CHIPS: Final = 400
_MAX_COLUMNS: Final = 20
_TILE: Final = 1.9
"""The side of a picture in inches."""
_GAP: Final = 0.12
_CAPTION: Final = 0.36
_PICTURE_SIDE: Final = 384
_MAX_BOX_TEXTS: Final = 20
_BACKGROUND: Final = "#e8e8e8"
_FRAME_SHARE: Final = 0.015
"""How much room is around a picture, so that outlines on its border are whole."""
_TEXT_BOX: Final = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.8}


class ChipSelection(NamedTuple):
    """Which rasters a contact sheet shows, and how.

    Attributes:
        raster_ids: These, in this order; None: samples, see `SampleSelection`.
        split: The split.
        subsets: Only of these subsets.
        collection: Only of this collection.
        classes: Only samples that show one of these classes, or were cut for a feature of one.
        labels: The labels to draw; None: one mask or the like, and one label of boxes, or without any label the
            outlines of the features.
        limit: How many are shown at most.
    """

    raster_ids: Sequence[str] | None = None
    split: str | None = None
    subsets: Sequence[str] | None = None
    collection: str | None = None
    classes: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    limit: int = 24


class _Tile(NamedTuple):
    """A picture and what is written below it."""

    picture: ChipPicture
    part: str | None
    class_name: str | None
    outlines: Sequence[ChipOutline] = ()


def plot_chips(
    revision: Revision,
    work: UnitOfWork,
    chosen: ChipSelection | None = None,
    *,
    bands: str | None = None,
    stretch: str | None = None,
    columns: int = 6,
    fetch: bool = True,
) -> Plot:
    """Return a contact sheet. Of more samples than `limit`, the choice depends on their ids only.

    Args:
        revision: The revision.
        work: The dataset, whose files are read.
        chosen: What is shown. None: samples, with default labels.
        bands: See `PictureOptions`.
        stretch: See `PictureOptions`.
        columns: How many pictures are side by side.
        fetch: Whether files that are not on this machine are fetched from the remote; else a text takes their place.

    Raises:
        MissingLibraryError: matplotlib is not installed.
        NotFoundError: there is no such raster, split, subset, collection, class or label.
        UsageError: several splits or collections fit, or an option is invalid.
        StorageError: the remote cannot be reached.
    """
    chosen = chosen or ChipSelection()
    _require_number("limit", chosen.limit, MAX_CHIPS)
    _require_number("number of columns", columns, _MAX_COLUMNS)
    rows, total = _choose_rasters(revision, chosen)
    ids = [raster_id for raster_id, *_ in rows]
    labels, others = _choose_labels(revision, ids, chosen.labels)
    options = PictureOptions(bands, stretch, labels, _PICTURE_SIDE, fetch)
    pictures = read_chip_pictures(revision, work.root, work.file_store, ids, options)
    # Without any label, the features are what there is to see.
    outlines = read_chip_outlines(revision, ids) if chosen.labels is None and not labels else {}
    tiles = []
    for picture, (raster_id, part, name) in zip(pictures, rows, strict=True):
        tiles.append(_Tile(picture, part, name, outlines.get(raster_id, ())))
        work.progress("pictures", len(tiles), len(rows))
    notes = []
    if total > len(rows):
        notes.append(f"{total - len(rows):,} of {total:,} samples are left out.")
    if others:
        notes.append(f"Labels that are not drawn: {', '.join(others)}. Choose with --labels.")
    if problems := sum(tile.picture.problem is not None for tile in tiles):
        notes.append(f"{format_count(problems, 'picture')} could not be read or drawn in full; the table says why.")
    styles = _collect_styles(tiles, read_class_styles(revision))
    classes = [*styles]
    drawn = f", with label {' and '.join(labels)}" if labels else ", without labels"
    if outlines:
        drawn += f", with the outlines of {format_count(sum(map(len, outlines.values())), 'feature')}"
    alt = f"Contact sheet of {len(tiles):,} of {format_count(total, 'raster')}{drawn}."
    if classes:
        what = "outlines" if outlines else "labels"
        alt += f" The {what} show {', '.join(classes[:12])}{' and others' * (len(classes) > 12)}."
    table = PlotTable(("raster", "subset", "class", "shown classes", "boxes", "problem"), _list_rows(tiles))
    return Plot(
        f"Chips at @{revision.position}", alt, table, lambda: _draw_figure(tiles, styles, columns, notes), notes=notes
    )


def _require_number(name: str, value: Any, largest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
        raise UsageError(f"invalid {name} {value!r}. Use a whole number from 1 to {largest}.")


def _choose_rasters(revision: Revision, chosen: ChipSelection) -> tuple[list[tuple[str, str | None, str | None]], int]:
    """Return ids, subsets and classes of the rasters to show, and the number of those that were selected."""
    if chosen.raster_ids is not None:
        return _read_named_rasters(revision, chosen)
    # Labels are chosen later: samples without them are shown, too.
    stage_samples(revision, SampleSelection(chosen.split, chosen.subsets, chosen.collection, []))
    if chosen.classes is not None:
        known = [name for (name,) in revision.fetch_rows("SELECT class FROM classes")]
        if unknown := [name for name in chosen.classes if name not in known]:
            raise NotFoundError(
                f"no class {quote_names(unknown)} at @{revision.position}. See geographer classes list."
            )
    values = {"classes": None if chosen.classes is None else [*chosen.classes], "limit": chosen.limit}
    run_script(revision.connection, (_FOLDER / "contact_sheet.sql").read_text(), values)
    rows = revision.fetch_rows("SELECT raster_id, part, class FROM shown_sample ORDER BY raster_id")
    order = {part: place for place, part in enumerate(sort_subsets([*{part for _, part, _ in rows if part}]))}
    rows.sort(key=lambda row: order.get(row[1], -1))
    total = revision.fetch_value("SELECT any_value(total) FROM shown_sample") or 0
    if not rows:
        raise NotFoundError("no sample shows these classes. Choose others with --class, or leave it out.")
    return rows, int(total)


def _read_named_rasters(
    revision: Revision, chosen: ChipSelection
) -> tuple[list[tuple[str, str | None, str | None]], int]:
    ids = [*dict.fromkeys(chosen.raster_ids or ())]
    if not ids:
        raise UsageError("no raster is named. Name some, or leave the argument out.")
    query = (_FOLDER / "named_rasters.sql").read_text()
    found = {row[0]: row for row in revision.fetch_rows(query, {"ids": ids, "split": chosen.split})}
    if unknown := [raster_id for raster_id in ids if raster_id not in found]:
        raise NotFoundError(f"no raster {quote_names(unknown)} at @{revision.position}. See geographer rasters.")
    return [found[raster_id] for raster_id in ids[: chosen.limit]], len(ids)


def _choose_labels(
    revision: Revision, raster_ids: Sequence[str], wanted: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Return the labels to draw, and the other ones that the rasters have."""
    if wanted is not None:
        return [*wanted], []
    query = (
        "SELECT DISTINCT label FROM current_label WHERE raster_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY label"
    )
    labels = list_training_labels(revision, [name for (name,) in revision.fetch_rows(query, {"ids": [*raster_ids]})])
    areas = [label.name for label in labels if label.kind != "boxes"]
    masks = [label.name for label in labels if label.kind == "mask"]
    boxes = [label.name for label in labels if label.kind == "boxes"]
    drawn = [*(masks or areas)[:1], *boxes[:1]]
    return drawn, [label.name for label in labels if label.name not in drawn]


def _collect_styles(tiles: Sequence[_Tile], classes: Mapping[str, Style]) -> dict[str, Style]:
    """Return how the classes are drawn that the pictures show, in the order of class values."""
    shown = {name: style for tile in tiles for name, style in tile.picture.styles.items()}
    outlined = {outline.class_name for tile in tiles for outline in tile.outlines}
    shown |= {name: classes.get(name, _OTHER_STYLE) for name in sorted(outlined)}
    return {name: shown[name] for name in classes if name in shown} | shown


def _list_rows(tiles: Sequence[_Tile]) -> list[Sequence[Any]]:
    return [
        (
            *(tile.picture.raster_id, tile.part, tile.class_name, ", ".join(_list_classes(tile))),
            sum(len(boxes) for boxes in tile.picture.boxes.values()),
            tile.picture.problem,
        )
        for tile in tiles
    ]


def _find_point_classes(tiles: Sequence[_Tile]) -> set[str]:
    """Return the classes that the pictures show as markers only."""
    outlines = [outline for tile in tiles for outline in tile.outlines]
    others = {name for tile in tiles for name in tile.picture.styles}
    others |= {outline.class_name for outline in outlines if "Point" not in outline.geometry.geom_type}
    return {outline.class_name for outline in outlines} - others


def _list_classes(tile: _Tile) -> list[str]:
    return [*dict.fromkeys([*tile.picture.styles, *(outline.class_name for outline in tile.outlines)])]


def _draw_figure(tiles: Sequence[_Tile], styles: Mapping[str, Style], columns: int, notes: Sequence[str]) -> Figure:
    from matplotlib.figure import Figure

    from geographer.outputs.plots.figure import add_legend, clean_text, make_area_key, make_marker_key

    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    width, height = columns * (_TILE + _GAP) - _GAP, rows * (_TILE + _CAPTION + _GAP) - _GAP
    figure = Figure(figsize=(width, height), facecolor="white")
    axes: list[Axes] = []
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        bottom = height - row * (_TILE + _CAPTION + _GAP) - _TILE
        box = (column * (_TILE + _GAP) / width, bottom / height, _TILE / width, _TILE / height)
        axes.append(figure.add_axes(box))
        _draw_tile(axes[-1], tile, styles)
    figure.text(0.0, 1 + 0.12 / height, "Chips", fontsize=12, fontweight="bold", va="bottom")
    if notes:
        text = fill(" ".join(clean_text(note, 300) for note in notes), max(30, int(width * 13)))
        figure.text(0.0, -0.12 / height, text, fontsize=8, va="top")
    shown = [*styles.items()][:_MAX_KEYS]
    dots = _find_point_classes(tiles)
    keys = [((make_marker_key if name in dots else make_area_key)(style), clean_text(name)) for name, style in shown]
    if rest := len(styles) - len(shown):
        keys.append((make_area_key(Style(OTHER_COLOUR, (), "circle", "")), f"{rest} more"))
    add_legend(axes[min(columns, len(axes)) - 1], keys)
    return figure


_MAX_KEYS: Final = 30
_OTHER_STYLE: Final = Style(OTHER_COLOUR, (), "diamond", "")


def _draw_tile(axes: Axes, tile: _Tile, styles: Mapping[str, Style]) -> None:
    """Draw an image, its overlays, its boxes and its outlines, with the caption below."""
    from geographer.outputs.plots.figure import clean_text

    picture = tile.picture
    margin = _FRAME_SHARE * max(picture.width, picture.height)
    axes.set_xlim(-margin, picture.width + margin)
    axes.set_ylim(picture.height + margin, -margin)
    axes.set_aspect("equal", anchor="S")
    axes.set_axis_off()
    extent = (0, picture.width, picture.height, 0)
    if picture.image is None:
        _draw_problem(axes, picture)
    else:
        axes.imshow(_decode_picture(picture.image), extent=extent, cmap="gray", vmin=0, vmax=255, aspect="equal")
    for overlay in picture.overlays.values():
        axes.imshow(_decode_picture(overlay), extent=extent, aspect="equal")
    axes.set_xlim(-margin, picture.width + margin)
    axes.set_ylim(picture.height + margin, -margin)
    for boxes in picture.boxes.values():
        for place, box in enumerate(boxes):
            _draw_box(axes, picture, box, picture.styles, has_text=place < _MAX_BOX_TEXTS)
    if picture.image is not None:
        draw_chip_outlines(axes, picture, tile.outlines, styles)
    lines = [clean_text(picture.raster_id, 30), clean_text(" · ".join(filter(None, (tile.part, tile.class_name))), 32)]
    below: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "top", "fontsize": 7}
    axes.text(0.5, -0.01, "\n".join(lines), **below)


def _decode_picture(content: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a PNG, shape (rows, columns) or (rows, columns, 3 or 4)."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def _draw_problem(axes: Axes, picture: ChipPicture) -> None:
    from matplotlib.patches import Rectangle

    from geographer.outputs.plots.figure import clean_text

    axes.add_patch(Rectangle((0, 0), picture.width, picture.height, facecolor=_BACKGROUND, edgecolor=OTHER_COLOUR))
    text = fill(clean_text((picture.problem or "").partition("; ")[0], 110), 24)
    axes.text(picture.width / 2, picture.height / 2, text, ha="center", va="center", fontsize=6.5)


def _draw_box(
    axes: Axes, picture: ChipPicture, box: PictureBox, styles: Mapping[str, Style], *, has_text: bool
) -> None:
    """Draw a box, and write its class where it is inside the picture."""
    from matplotlib.patches import Rectangle

    from geographer.outputs.plots.figure import clean_text, line_options

    style = styles[box.class_name]
    size = (box.xmax - box.xmin, box.ymax - box.ymin)
    for colour, width in (("white", 2.4), (style.colour, 1.2)):
        line = line_options(style, width) if colour != "white" else {"linewidth": width}
        frame = Rectangle((box.xmin, box.ymin), *size, fill=False, edgecolor=colour, clip_on=False, **line)
        axes.add_patch(frame)
    if has_text:
        is_left, is_high = box.xmin < 0.6 * picture.width, box.ymin < 0.1 * picture.height
        axes.text(
            box.xmin if is_left else box.xmax,
            box.ymin,
            clean_text(box.class_name, 18),
            ha="left" if is_left else "right",
            va="top" if is_high else "bottom",
            fontsize=6,
            color=TEXT_COLOUR,
            bbox=_TEXT_BOX,
        )
