"""Map background: the picture of a raster under the features of a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from geographer.base.errors import NotFoundError, StorageError, UsageError
from geographer.base.values import Grid, Transform
from geographer.outputs.pictures.settings import make_picture_settings, parse_picture_bands, parse_stretch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geographer.outputs.pictures.files import PictureFile
    from geographer.outputs.plots.geo_axes import MapExtent
    from geographer.storage.queries.revision import Revision
    from geographer.storage.unit_of_work import UnitOfWork

_RASTER: Final = (
    "SELECT crs, transform, width, height, storage, bbox_xmax > 180 AS is_crossing FROM current_raster "
    "WHERE raster_id = $id"
)
_ANTIMERIDIAN: Final = 180.0


class MapBackground(NamedTuple):
    """The raster that a map shows under its features.

    Attributes:
        work: The dataset, whose files are read, and fetched if they are not on this machine.
        raster_id: The raster.
        bands: See `PictureOptions`.
        stretch: See `PictureOptions`.
    """

    work: UnitOfWork
    raster_id: str
    bands: str | None = None
    stretch: str | None = None


class BackgroundPicture(NamedTuple):
    """A picture that fills a map: red, green, blue and opacity, shape (rows, columns, 4), from the north."""

    raster_id: str
    extent: MapExtent
    pixels: NDArray[np.uint8]


def read_background(
    revision: Revision, background: MapBackground, extent: MapExtent, size: tuple[int, int]
) -> BackgroundPicture:
    """Read the picture of a raster, warped to the longitudes and latitudes of a map.

    Args:
        revision: The revision.
        background: The raster.
        extent: What the map shows.
        size: The width and height of the picture in pixels.

    Raises:
        NotFoundError: there is no such raster.
        UsageError: it has no pixels or no such band, or cannot be drawn in degrees.
        StorageError: its file was withdrawn, or is not on this machine and cannot be fetched.
        CorruptError: its file is damaged.
    """
    import numpy as np

    from geographer.rasters.warped_pictures import LonLatGrid, read_warped_picture

    raster_id = background.raster_id
    bands, stretch = parse_picture_bands(background.bands), parse_stretch(background.stretch)
    rows = revision.fetch_rows(_RASTER, {"id": raster_id})
    if not rows:
        raise NotFoundError(f"no raster '{raster_id}' at @{revision.position}. See geographer rasters.")
    ((crs, transform, width, height, storage, is_crossing),) = rows
    if storage == "catalogue":
        raise UsageError(
            f"raster '{raster_id}' cannot be the background of a map: it is a footprint in a catalogue, without "
            "pixels. Name a raster with pixels."
        )
    file = _locate_file(revision, background)
    assert file.path is not None
    target = LonLatGrid(extent.west, extent.south, extent.east, extent.north, *size)
    grid = Grid(crs, Transform(*transform), width, height)
    settings = make_picture_settings("png", bands, stretch)
    pixels = read_warped_picture(file.path, grid, settings, target, with_sidecars=file.with_sidecars)
    picture = BackgroundPicture(raster_id, extent, np.moveaxis(pixels, 0, -1))
    if is_crossing:
        _require_both_sides(picture)
    return picture


def _locate_file(revision: Revision, background: MapBackground) -> PictureFile:
    from geographer.outputs.pictures.files import locate_files

    work, raster_id = background.work, background.raster_id
    file = locate_files(revision, work.root, work.file_store, [raster_id], [], fetch=True).rasters[raster_id]
    if file.path is None:
        raise StorageError(f"raster '{raster_id}' cannot be the background of a map: {file.problem}.")
    return file


def _require_both_sides(picture: BackgroundPicture) -> None:
    """Raise `UsageError` if the map shows both sides of the antimeridian, but the picture has pixels on one only."""
    import numpy as np

    extent, columns = picture.extent, picture.pixels.shape[1]
    turn = _ANTIMERIDIAN if extent.east > _ANTIMERIDIAN else -_ANTIMERIDIAN
    column = round((turn - extent.west) / (extent.east - extent.west) * columns)
    if not 0 < column < columns:
        return
    has_pixels = [bool(np.any(side[..., 3])) for side in np.split(picture.pixels, [column], axis=1)]
    if has_pixels[0] != has_pixels[1]:
        raise UsageError(
            f"raster '{picture.raster_id}' cannot be the background of a map: on one side of the antimeridian, its "
            "pixels have no place in degrees. Warp it to a CRS of its region, such as its UTM zone."
        )
