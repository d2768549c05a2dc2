"""add: features, rasters, a catalogue of footprints, or classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options
from geographer.cli.help import CommandGroup, format_example

if TYPE_CHECKING:
    from geographer.dataset import Dataset
    from geographer.storage.events import ChangeResult

_replace_option = options.make_flag(
    "--replace", "Replace objects that have the same id and differ, instead of refusing them."
)


@click.group("add", cls=CommandGroup, epilog=format_example("add features lakes.gpkg --id lake_id"))
def add_command() -> None:
    """Add features, rasters, a catalogue of footprints, or classes."""


@add_command.command("features", epilog=format_example("add features lakes.gpkg --id lake_id --where 'area > 1000'"))
@click.argument("data", metavar="FILE")
@options.make_option("--id COLUMN", "feature_id, else id", "The column of ids: text or whole numbers.")
@options.make_option("--class class_ COLUMN", "class, or the dataset's only class", "The column of classes.")
@options.as_class_option
@options.make_where_option("features")
@options.crs_option
@options.on_error_option
@_replace_option
@options.print_change
def add_features_command(dataset: Dataset, data: str, **add_options: Any) -> ChangeResult:
    """Add the features of a vector file: points, lines or polygons, in any CRS.

    FILE is GeoParquet or any format that GDAL reads (GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML).
    """
    return dataset.add_features(data, **add_options)


@add_command.command("rasters", epilog=format_example("add rasters scenes/ --collection s2 --pattern '*_RGB.tif'"))
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@options.collection_option
@options.mode_option
@options.crs_option
@options.make_choice_option(
    "--footprint bounds|valid",
    "bounds",
    "A raster's footprint: the bounds of its grid, or the outline of its valid pixels.",
)
@options.make_option("--acquired TAG", "none", "The GDAL tag that holds the time of acquisition.")
@options.make_list_option(
    "--pattern patterns GLOB",
    "all rasters",
    "Of a folder, add only rasters whose name or relative path matches, such as '*_RGB.tif'.",
)
@options.make_list_option("--tag tags NAME", "none", "Store this GDAL tag of each file as a column.")
@options.on_error_option
@_replace_option
@options.print_change
def add_rasters_command(dataset: Dataset, paths: tuple[str, ...], **add_options: Any) -> ChangeResult:
    """Add raster files, or all rasters in folders.

    A raster's id is the name of its file without the suffix.
    """
    return dataset.add_rasters(paths, **add_options)


@add_command.command("catalogue", epilog=format_example("add catalogue scenes.parquet --acquired datetime"))
@click.argument("data", metavar="FILE")
@options.make_option("--id COLUMN", "raster_id, else id", "The column of ids.")
@options.crs_option
@options.make_option("--acquired COLUMN", "none", "The column that holds the time of acquisition.")
@options.print_change
def add_catalogue_command(dataset: Dataset, data: str, **add_options: Any) -> ChangeResult:
    """Add raster footprints without pixels: GeoJSON, GeoParquet or STAC items, in any CRS."""
    return dataset.add_catalogue(data, **add_options)


@add_command.command("classes", epilog=format_example("add classes reed peat"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options.print_change
def add_classes_command(dataset: Dataset, names: tuple[str, ...], **commit_options: Any) -> ChangeResult:
    """Add classes after the existing ones; each gets the next value."""
    return dataset.add_classes(names, **commit_options)
