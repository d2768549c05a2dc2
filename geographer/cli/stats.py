"""stats: statistics of samples, for people, for programs, and for TerraTorch."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from geographer.base.errors import UsageError
from geographer.base.text import format_count
from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.cli.query import print_lines
from geographer.cli.samples import add_selection_options
from geographer.cli.workers import add_workers_options
from geographer.dataset.reader import DatasetReader

if TYPE_CHECKING:
    from geographer.outputs.statistics.results import (
        BandSummary,
        ClassObjects,
        DatasetStatistics,
        LabelSummary,
        SampleStatistics,
        ValueSummary,
    )

_Table = tuple[Sequence[str], list[list[str]]]
"""The names of the columns, and the rows."""
_SUFFIXES: Final = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".txt": "table", "": "table"}
_BANDS: Final = ("band", "name", "valid", "nodata", "non-finite", "mean", "std", "min", "max")
_PIXELS: Final = ("class", "value", "pixels", "share", "inverse frequency", "median frequency")


@click.command(
    "stats", epilog=format_example("stats --subset train", "stats --subset train --format terratorch -o stats.yaml")
)
@options.pass_dataset
@add_selection_options
@options.make_option("--percentiles NUMBERS", "1,2,5,25,50,75,95,98,99", "From 0 to 100, separated by commas.")
@options.make_option("--bins COUNT", "64", "The number of bins of each histogram.", type=click.IntRange(1, 65_536))
@add_workers_options
@options.make_choice_option(
    "--format table|json|yaml|terratorch", "by the suffix of --output, else table", "How to write them."
)
@options.make_option("-o --output FILE", "the terminal", "Write to this file, which is replaced.")
@options.json_object_option
def stats_command(
    dataset: DatasetReader,
    selection: dict[str, Any],
    percentiles: str | None,
    bins: int | None,
    workers: int | str,
    format: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Compute statistics of samples: bands, pixels by class, objects, for each subset.

    Means and standard deviations (of the population) are exact, of valid pixels as stored; and of scaled ones, if files
    state a scale. What was counted is kept, so that nothing is read twice. The format terratorch is YAML to paste into
    a TerraTorch config: means, stds and class weights of the subset train, or the only one.
    """
    table_format = _choose_format(output, "json" if as_json else format)
    statistics = dataset.compute_statistics(
        **selection, percentiles=_parse_numbers(percentiles), bins=bins or 64, workers=workers
    )
    if table_format == "table" and output is None:
        _print_tables(statistics)
    else:
        print_lines(_format_lines(statistics, table_format), output)


def _choose_format(path: str | None, requested: str | None) -> str:
    if path is not None and Path(path).is_dir():
        raise UsageError(f"'{path}' is a folder. Name a file with --output, e.g. stats.json.")
    suffix = "" if path is None else Path(path).suffix.lower()
    if requested is None and suffix not in _SUFFIXES:
        raise UsageError(f"unknown suffix '{suffix}' of '{path}'. Pass --format, or use .json, .yaml or .txt.")
    return requested or _SUFFIXES[suffix]


def _parse_numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise UsageError(f"invalid percentiles '{text}'. Use numbers from 0 to 100, e.g. 2,50,98.") from None


def _format_lines(statistics: "DatasetStatistics", table_format: str) -> list[str]:
    if table_format == "json":
        return [json.dumps(statistics.to_dict(), ensure_ascii=False)]
    if table_format == "yaml":
        import yaml

        return [*yaml.safe_dump(statistics.to_dict(), allow_unicode=True, sort_keys=False).splitlines()]
    if table_format == "terratorch":
        from geographer.outputs.statistics.terratorch import format_terratorch

        return format_terratorch(statistics).splitlines()
    return [line for item in _list_tables(statistics) for line in _format_item(item)]


def _print_tables(statistics: "DatasetStatistics") -> None:
    """Print the tables, each with those columns that fit a terminal."""
    for item in _list_tables(statistics):
        if isinstance(item, str):
            click.echo(item)
        else:
            output.print_table(*item)


def _format_item(item: str | _Table) -> list[str]:
    return [item] if isinstance(item, str) else output.format_table(*item)


def _list_tables(statistics: "DatasetStatistics") -> Iterator[str | _Table]:
    """Yield titles and tables."""
    position = statistics.position
    parts = {f"{name} of split '{statistics.selection['split']}'": part for name, part in statistics.subsets.items()}
    if len(parts) != 1:
        parts["all"] = statistics.all
    for index, (name, samples) in enumerate(parts.items()):
        if index:
            yield ""
        yield f"{name} at @{position}: {format_count(samples.samples, 'sample')}"
        yield from _list_sample_tables(samples)


def _list_sample_tables(samples: "SampleStatistics") -> Iterator[str | _Table]:
    yield _make_band_table([(band, band.stored) for band in samples.bands])
    if errors := {band.stored.relative_error for band in samples.bands if band.stored.relative_error}:
        yield f"percentiles of more than 65,536 distinct values: relative error at most {max(errors):.2g}"
    if scaled := [(band, band.scaled) for band in samples.bands if band.scaled is not None]:
        yield "with scale and offset of the files:"
        yield _make_band_table(scaled)
    for label in samples.labels:
        yield _describe_label(label)
        yield _make_pixel_table(label)
    if samples.classes:
        yield _make_object_table(samples.classes)


def _make_band_table(bands: "Sequence[tuple[BandSummary, ValueSummary]]") -> _Table:
    percentages = [f"{percentage} %" for _, values in bands[:1] for percentage in values.percentiles]
    rows = []
    for band, values in bands:
        counts = (band.valid, band.nodata, band.non_finite)
        numbers = (values.mean, values.standard_deviation, values.minimum, values.maximum)
        shown = [_format_number(value) for value in (*numbers, *values.percentiles.values())]
        rows.append([str(band.band), band.name or "-", *map(str, counts), *shown])
    return (*_BANDS, *percentages), rows


def _describe_label(label: "LabelSummary") -> str:
    ignored = "" if label.ignore is None else f", {label.ignored:,} more ignored (value {label.ignore})"
    rasters = format_count(label.rasters, "sample")
    return f"label {label.label} ({label.kind}) of {rasters}: {label.pixels:,} pixels{ignored}"


def _make_pixel_table(label: "LabelSummary") -> _Table:
    rows = []
    for row in label.classes:
        share = "-" if row.fraction is None else f"{100 * row.fraction:.4g} %"
        weights = map(_format_number, (row.inverse_frequency, row.median_frequency))
        value = "-" if row.value is None else str(row.value)
        rows.append([row.class_name or "-", value, str(row.pixels), share, *weights])
    return _PIXELS, rows


def _make_object_table(classes: Sequence["ClassObjects"]) -> _Table:
    labels = sorted({label for row in classes for label in row.objects})
    rows = [
        [row.class_name, str(row.samples), str(row.features), *(str(row.objects.get(label, 0)) for label in labels)]
        for row in classes
    ]
    return ("class", "samples", "features", *(f"objects in {label}" for label in labels)), rows


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
