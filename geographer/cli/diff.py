"""diff: compare two revisions: counts, unusual changes, and the objects that differ."""

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from geographer.base.logged_warnings import collect_logged_warnings
from geographer.base.text import format_count
from geographer.cli import options, output
from geographer.cli.diff_report import format_diff
from geographer.cli.help import format_example
from geographer.cli.named_text import NamedText
from geographer.dataset.reader import DatasetReader
from geographer.diff.selection import TABLES

if TYPE_CHECKING:
    from geographer.diff.difference import Diff

EXIT_DIFFERENT: Final = 1
_SECTIONS: Final = ("counts", "flags", "objects")
_WITH_FILES: Final = frozenset({"rasters", "chips", "labels"})
_EXAMPLES: Final = (
    "diff v1 v2",
    "diff v1 --flags --subset test",
    "diff v1 v2 --only features --class lake --geojson",
    "diff v1 v2 --html diff.html",
)


@click.command("diff", epilog=format_example(*_EXAMPLES))
@click.argument("a", default=None, required=False, metavar="[A]")
@click.argument("b", default=None, required=False, metavar="[B]")
@click.option("--stat", is_flag=True, help="Print the counts.")
@click.option("--flags", is_flag=True, help="Print the unusual changes, with reasons, the most unusual first.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(TABLES),
    show_default="all",
    help="Compare these objects only. Repeatable.",
)
@options.make_option("--where SQL", "all", "Only features (or rasters) for which this is true, with what shows them.")
@options.make_option("--class class_ NAME", "all", "Only features of this class, with what shows them.")
@options.make_option("--collection NAME", "all", "Only rasters of this collection (the chips of this recipe).")
@options.make_option("--subset PART", "all", "Only rasters in this part of a split.")
@options.make_option("--bbox WEST,SOUTH,EAST,NORTH", "everywhere", "Only objects that meet this box, in degrees.")
@options.make_option(
    "--id ids ID",
    "all",
    "Only the object of this id, and what names it. Repeatable.",
    multiple=True,
    type=NamedText("object id"),
)
@options.make_option(
    "--other DIR", "none", "B is a revision of the dataset in this folder, which has a common history."
)
@click.option("--pixels", is_flag=True, help="Also compare the pixels of changed rasters and labels.")
@options.make_option(
    "--limit NUMBER", "20 of a group and 50 flags as text", "Print at most so many objects.", type=click.IntRange(0)
)
@options.json_object_option
@click.option("--geojson", "as_geojson", is_flag=True, help="Print GeoJSON with the old and the new geometries.")
@options.make_option("--patch patch_file FILE", "none", "Write the differences to this file, for geographer apply.")
@options.make_option("--html html_file FILE", "none", "Write a page with map, table and chips to this file.")
@options.make_option(
    "--chips NUMBER", "24 and 5 MB", "With --html: pictures of at most so many chips.", type=click.IntRange(0)
)
@click.option("--exit-code", "with_exit_code", is_flag=True, help="Exit with 1 if there are differences, else with 0.")
@options.pass_dataset
def diff_command(
    dataset: DatasetReader,
    a: str | None,
    b: str | None,
    stat: bool,
    flags: bool,
    pixels: bool,
    limit: int | None,
    other: str | None,
    as_json: bool,
    as_geojson: bool,
    patch_file: str | None,
    html_file: str | None,
    chips: int | None,
    with_exit_code: bool,
    ids: tuple[str, ...],
    **conditions: Any,
) -> None:
    """Compare revision A (the one before B, if omitted) with B (the head, if omitted).

    Counts come first, then flags, then the objects, grouped by class or collection. --stat and --flags print only that.
    """
    if sum((as_json, as_geojson, patch_file is not None, html_file is not None)) > 1:
        raise click.UsageError("--json, --geojson, --html and --patch exclude each other. Pass one of them.")
    if chips is not None and html_file is None:
        raise click.UsageError("--chips is about the pictures in a page. Pass --html FILE, too.")
    if html_file is not None and stat:
        raise click.UsageError("a page has the counts beside the objects. Leave --stat out.")
    if as_geojson and (stat or flags):
        raise click.UsageError("--geojson has the objects alone. Leave --stat and --flags out, or pass --json.")
    if pixels and conditions["only"] and not _WITH_FILES & {*conditions["only"]}:
        raise click.UsageError("--pixels compares the files of rasters, chips and labels, which --only leaves out.")
    conditions["ids"] = ids or None
    if patch_file is not None:
        if any((stat, flags, pixels, limit is not None, other, *conditions.values())):
            raise click.UsageError(
                "a patch holds all differences between two revisions of this dataset. Pass A and B alone."
            )
        count = dataset.write_patch(a, b, patch_file)
        click.echo(f"'{patch_file}': {format_count(count, 'object')}")
        _exit_if_different(with_exit_code and count > 0)
        return
    if html_file is not None:
        page: dict[str, Any] = {"chips": chips, "limit": limit, "flagged_only": flags, "pixels": pixels, "other": other}
        written = dataset.write_diff_page(a, b, html_file, **page, **conditions)
        click.echo(written.format_text())
        _exit_if_different(with_exit_code and not written.is_empty)
        return
    sections = {name for name, is_wanted in (("counts", stat), ("flags", flags)) if is_wanted} or {*_SECTIONS}
    needs_flags = "flags" in sections and not as_geojson
    with collect_logged_warnings() as warnings:
        diff = dataset.diff(a, b, flags=needs_flags, pixels=pixels, footprints=as_geojson, other=other, **conditions)
    if as_json:
        from geographer.diff.envelope import make_envelope

        output.print_json_line({**make_envelope(diff, sections, limit), **({"warnings": warnings} if warnings else {})})
    elif as_geojson:
        for line in _iter_geojson_lines(diff, limit):
            click.echo(line)
    else:
        for line in format_diff(diff, sections, limit, other):
            click.echo(line)
    _exit_if_different(with_exit_code and not diff.is_empty)


def _exit_if_different(is_different: bool) -> None:
    if is_different:
        sys.exit(EXIT_DIFFERENT)


def _iter_geojson_lines(diff: "Diff", limit: int | None) -> Iterator[str]:
    from geographer.diff.envelope import iter_geojson_features

    features = [json.dumps(feature, ensure_ascii=False) for feature in islice(iter_geojson_features(diff), limit)]
    yield '{"type": "FeatureCollection", "features": ['
    if features:
        yield ",\n".join(features)
    yield "]}"
