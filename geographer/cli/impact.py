"""impact: what a change means for a subset of a split, and for the scores of stored predictions."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from geographer.base.errors import UsageError
from geographer.base.text import format_count
from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader

if TYPE_CHECKING:
    from geographer.outputs.impact.report import Impact
    from geographer.outputs.impact.scores import Scores

_MAX_LISTED: Final = 20
_METRIC_HELP: Final = "A metric of class values. Repeatable."
_METRICS: Final = click.Choice(["accuracy", "mean-iou"])


@click.command(
    "impact", epilog=format_example("impact v1 v2 --common common.txt", "impact v1 v2 --predictions out --truth mask")
)
@click.argument("a", metavar="A")
@click.argument("b", default=None, required=False, metavar="[B]")
@options.make_option("--split NAME", "the only split", "The split whose part is compared.")
@options.make_option("--subset PART", "test", "The part of the split.")
@options.make_option(
    "--predictions PATH", "none", "A folder of class values, ID.npy, .tif or .png; or a .csv or .parquet of scores."
)
@options.make_option("--truth LABEL", "all labels", "The only label that counts; predictions are compared with it.")
@click.option("--metric", "metrics", type=_METRICS, multiple=True, show_default="both", help=_METRIC_HELP)
@options.make_option("--common FILE", "none", "Write the ids of the untouched chips to this file, one per line.")
@click.option(
    "--statistics/--no-statistics",
    default=None,
    show_default="if they may differ",
    help="Compute mean and standard deviation of each band, which reads the pixels of a part.",
)
@options.make_option("--statistics-of PART", "train, or --subset", "The part whose statistics are compared.")
@options.json_object_option
@options.pass_dataset
def impact_command(
    dataset: DatasetReader,
    a: str,
    b: str | None,
    common: str | None,
    metrics: Sequence[str],
    as_json: bool,
    **values: Any,
) -> None:
    """Show what differs in a subset between revisions A and B (the head, if omitted), and what that does to scores.

    Chips are compared by pixels, labels and class values; no file is opened for that. The change of a metric is the sum
    of three terms: of the chips that left, of those whose truth differs, and of those that entered.
    """
    if common is not None and Path(common).is_dir():
        raise UsageError(f"'{common}' is a folder. Name a file with --common, e.g. common.txt.")
    given = {name: value for name, value in values.items() if value is not None}
    impact = dataset.compute_impact(a, b, metrics=list(metrics) or None, **given)
    if common is not None:
        from geographer.base.atomic_files import write_atomic

        write_atomic(Path(common), "".join(f"{raster_id}\n" for raster_id in impact.common).encode())
    if as_json:
        output.print_json_line(impact.to_dict())
        return
    for line in _format_lines(impact):
        click.echo(line)


def _format_lines(impact: "Impact") -> list[str]:
    """Return what differs, counts first; then statistics and metrics."""
    from geographer.outputs.impact.subset import MOVES

    kept = len(impact.change.list_kept())
    before, after = impact.before, impact.after
    lines = [
        f"{impact.subset} of split '{impact.split}': {format_count(before.chips, 'chip')} at @{before.position}, "
        f"{after.chips:,} at @{after.position}; {kept:,} in both, {len(impact.common):,} of them untouched"
    ]
    counts = {change: count for change, count in impact.change.count_changes().items() if count}
    texts = [f"{count:,} {'' if change in MOVES else 'with '}{change}" for change, count in counts.items()]
    lines.append(f"chips: {', '.join(texts) or 'no differences'}")
    changes = impact.change.list_changes()
    lines += [f"  {row.raster_id}: {row.change}{_format_detail(row.label, row.part)}" for row in changes[:_MAX_LISTED]]
    if len(changes) > _MAX_LISTED:
        lines.append(f"  and {len(changes) - _MAX_LISTED:,} more; --json has all")
    lines += [
        f"class {row.name}: value {_format_value(row.from_value)} → {_format_value(row.to_value)}"
        for row in impact.change.classes
    ]
    lines += _format_statistics(impact)
    return lines if impact.scores is None else lines + _format_scores(impact.scores)


def _format_detail(label: str | None, part: str | None) -> str:
    return f" ({label or part})" if label or part else ""


def _format_statistics(impact: "Impact") -> list[str]:
    statistics = impact.statistics
    lines = [f"statistics of {statistics.part}: {statistics.state}"]
    if not statistics.bands:
        return lines
    names = ("band", "pixels A", "pixels B", "mean A", "mean B", "difference", "std A", "std B", "difference")
    rows = [
        (
            *map(str, (row.band, row.before.pixels, row.after.pixels)),
            *map(_format_number, (row.before.mean, row.after.mean)),
            *_format_signed([row.mean_difference]),
            *map(_format_number, (row.before.standard_deviation, row.after.standard_deviation)),
            *_format_signed([row.deviation_difference]),
        )
        for row in statistics.bands
    ]
    return lines + output.format_table(names, rows)


def _format_scores(scores: "Scores") -> list[str]:
    names = ("metric", "A", "B", "change", "left", "relabelled", "entered", "common A", "common B")
    rows = [
        (
            *(row.metric, _format_number(row.before), _format_number(row.after)),
            *_format_signed((row.change, row.left, row.relabelled, row.entered)),
            *(_format_number(row.common_before), _format_number(row.common_after)),
        )
        for row in scores.metrics
    ]
    lines = output.format_table(names, rows)
    if scores.other_pixels:
        lines.append(
            f"{format_count(scores.other_pixels, 'chip')} in both with other pixels: the predictions were made on the "
            "pixels of one revision only"
        )
    if scores.kind == "table" and scores.other_truth:
        lines.append(
            f"{format_count(scores.other_truth, 'chip')} in both with other labels: a table has one value per chip, so "
            "the term relabelled is 0"
        )
    return lines


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _format_signed(values: Iterable[float | None]) -> list[str]:
    return ["-" if value is None else f"{value:+.6g}" for value in values]


def _format_value(value: int | None) -> str:
    return "none" if value is None else str(value)
