"""init, add and remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, output

if TYPE_CHECKING:
    from geographer.dataset import Dataset

_on_error = click.option(
    "--on-error", type=click.Choice(["fail", "skip"]), default="fail", show_default=True,
    help="What is not fit: refuse all, or skip it and record which and why.",
)  # fmt: skip
_replace = click.option(
    "--replace", is_flag=True, help="What is there under the same id gives way, unless it is equal."
)
_crs = click.option(
    "--crs",
    default=None,
    metavar="CRS",
    help="The CRS, where the data does not say, or says wrongly: EPSG:… or WKT.",
)


@click.command()
@click.argument("folder", default=".", metavar="[DIR]")
@click.option(
    "--class", "classes", multiple=True, metavar="NAME", help="A class; their values are 1, 2, 3 … Repeat it."
)
@click.option("--background", default=None, metavar="NAME", help="A class of value 0, which erases in masks.")
@click.option("--no-scm", is_flag=True, help="Do without Git, even where there is some.")
@options.changing
@click.pass_obj
def init(
    root: str,
    folder: str,
    classes: tuple[str, ...],
    background: str | None,
    no_scm: bool,
    signature: dict[str, Any],
    as_json: bool,
) -> None:
    """Make a dataset in a folder.

    The folder becomes a DVC repository, with Git where it lies in a Git repository. Without --class, the classes are
    those that the features bring.
    """
    from pathlib import Path

    from geographer.dataset import Dataset

    where = Path(root) / folder
    if signature["dry_run"]:
        click.echo(f"would make a dataset in '{where.resolve()}'; nothing was changed")
        return
    dataset = Dataset.init(
        where,
        classes=classes,
        background=background,
        scm=not no_scm,
        message=signature["message"],
        author=signature["author"],
        command=options.command_line(),
    )
    event = dataset.show()
    if as_json:
        output.print_json_line(
            {
                "position": 1,
                "digest": event.digest,
                "kind": event.kind,
                "changed": True,
                "root": str(dataset.root),
            }
        )
    else:
        click.echo(f"@1 {event.digest[:12]} {event.kind}: '{dataset.root}'")


@click.group()
def add() -> None:
    """Add features, rasters, a catalogue or classes."""


@add.command()
@click.argument("file", metavar="FILE")
@click.option(
    "--id",
    "id_column",
    default=None,
    metavar="COLUMN",
    help="The column of ids, text or whole numbers; 'feature_id' or 'id' when left out.",
)
@click.option(
    "--class",
    "class_column",
    default=None,
    metavar="COLUMN",
    help="The column of classes; 'class' when left out, or the dataset's only class.",
)
@click.option("--as-class", default=None, metavar="NAME", help="Give all of them this class.")
@options.where
@_crs
@_on_error
@_replace
@options.changing
@options.dataset
def features(
    dataset: Dataset, file: str, id_column: str | None, class_column: str | None, as_class: str | None,
    where: str | None, crs: str | None,
    on_error: Any, replace: bool, signature: dict[str, Any], as_json: bool,
) -> None:  # fmt: skip
    """Add the features of a vector file: points, lines or polygons, in any CRS.

    FILE is anything that GDAL reads (GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML), or GeoParquet.
    """
    result = dataset.add_features(
        file,
        id=id_column,
        class_=class_column,
        as_class=as_class,
        where=where,
        crs=crs,
        on_error=on_error,
        replace=replace,
        **signature,
    )
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@add.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--collection", default="source", show_default=True, help="The named set of rasters that they join.")
@click.option(
    "--mode", type=click.Choice(["link", "copy", "reference"]), default="copy", show_default=True,
    help="Bytes in DVC and a copy or a read-only link in the workspace; or left where they are.",
)  # fmt: skip
@_crs
@click.option(
    "--footprint", type=click.Choice(["bounds", "valid"]), default="bounds", show_default=True,
    help="The bounds of the grid, or the outline of the valid pixels.",
)  # fmt: skip
@click.option("--acquired", default=None, metavar="TAG", help="The tag that holds the time of acquisition.")
@click.option(
    "--pattern", "patterns", multiple=True, metavar="GLOB",
    help="Of a folder, only rasters whose name, or path below it, matches, such as '*_RGB.tif'. Repeat it.",
)  # fmt: skip
@click.option(
    "--tag", "tags", multiple=True, metavar="NAME", help="Keep this GDAL tag of each file as a column. Repeat it."
)
@_on_error
@_replace
@options.changing
@options.dataset
def rasters(
    dataset: Dataset, paths: tuple[str, ...], collection: str, mode: Any, crs: str | None, footprint: Any,
    acquired: str | None, on_error: Any, patterns: tuple[str, ...], tags: tuple[str, ...], replace: bool,
    signature: dict[str, Any], as_json: bool,
) -> None:  # fmt: skip
    """Add raster files, or all rasters in folders. A raster's id is the stem of its file's name."""
    result = dataset.add_rasters(
        paths,
        collection=collection,
        mode=mode,
        crs=crs,
        footprint=footprint,
        acquired=acquired,
        on_error=on_error,
        patterns=patterns,
        tags=tags,
        replace=replace,
        **signature,
    )
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@add.command()
@click.argument("file", metavar="FILE")
@click.option(
    "--id",
    "id_column",
    default=None,
    metavar="COLUMN",
    help="The column of ids; 'raster_id' or 'id' when left out.",
)
@_crs
@click.option("--acquired", default=None, metavar="COLUMN", help="The column that holds the time of acquisition.")
@options.changing
@options.dataset
def catalogue(
    dataset: Dataset,
    file: str,
    id_column: str | None,
    crs: str | None,
    acquired: str | None,
    signature: dict[str, Any],
    as_json: bool,
) -> None:
    """Add footprints without pixels: GeoJSON, GeoParquet or STAC items, in any CRS."""
    result = dataset.add_catalogue(file, id=id_column, crs=crs, acquired=acquired, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@add.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options.changing
@options.dataset
def classes(dataset: Dataset, names: tuple[str, ...], signature: dict[str, Any], as_json: bool) -> None:
    """Add classes after those that there are."""
    output.print_result(dataset.add_classes(names, **signature), as_json=as_json, dry_run=signature["dry_run"])


@click.group()
def remove() -> None:
    """Remove features, rasters or a recipe; earlier revisions keep them."""


@remove.command("features")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@options.changing
@options.dataset
def remove_features(dataset: Dataset, ids: tuple[str, ...], signature: dict[str, Any], as_json: bool) -> None:
    """Remove features."""
    output.print_result(dataset.remove_features(ids, **signature), as_json=as_json, dry_run=signature["dry_run"])


@remove.command("rasters")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@options.changing
@options.dataset
def remove_rasters(dataset: Dataset, ids: tuple[str, ...], signature: dict[str, Any], as_json: bool) -> None:
    """Remove rasters, their labels and their places in splits; DVC's cache keeps the bytes."""
    output.print_result(dataset.remove_rasters(ids, **signature), as_json=as_json, dry_run=signature["dry_run"])


@remove.command("recipe")
@click.argument("name", metavar="NAME")
@click.option("--keep", is_flag=True, help="Keep what it made, such as rasters that were downloaded.")
@options.changing
@options.dataset
def remove_recipe(dataset: Dataset, name: str, keep: bool, signature: dict[str, Any], as_json: bool) -> None:
    """Remove a recipe with all that it made; its name is free again."""
    result = dataset.remove_recipe(name, keep=keep, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])
