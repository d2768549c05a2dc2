"""audit: check anybody's dataset, or a release, for leakage and damage."""

from __future__ import annotations

import click

from geographer.base.errors import ConflictError, CorruptError, NotFoundError
from geographer.base.text import format_count
from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.cli.workers import add_workers_options


@click.command("audit", epilog=format_example("audit eurosat", "audit eurosat --split eurosat-train.txt --json"))
@click.argument("path", metavar="PATH")
@options.make_option(
    "--split FILE", "looked for in PATH", "The list that says which image is in which subset: text, CSV, JSON, Parquet."
)
@options.make_option("--buffer METRES", "only measured", "The geodesic distance that subsets must keep.", type=float)
@click.option("--no-near-duplicates", is_flag=True, help="Compare files and pixels for equality only; this is faster.")
@add_workers_options
@options.json_option
def audit_command(
    path: str, split: str | None, buffer: float | None, no_near_duplicates: bool, workers: int | str, as_json: bool
) -> None:
    """Check anybody's dataset, or a release, for leakage between subsets, damage and contradictions.

    PATH is a folder of images with subfolders or lists of a split, COCO, YOLO, Croissant, a TerraTorch configuration,
    or a folder that release or checkout --to wrote. No dataset of geographer is needed, and nothing is changed. With
    --json, each line is a finding; a pair of images that leaks has `kind`, `a` and `b`; the last line is a summary.
    The exit code is 4 if subsets share content, 5 if files are damaged, 3 if no split was found.
    """
    from geographer.outputs.audit.run import audit_dataset

    report = audit_dataset(
        path,
        split,
        buffer=buffer,
        near_duplicates=not no_near_duplicates,
        workers=workers,
        progress=output.show_progress,
    )
    if as_json:
        for record in report.iter_findings():
            output.print_json_line(record)
    else:
        for line in report.format_lines():
            click.echo(line)
    if report.is_leaking:
        pairs = format_count(len(report.leaks), "pair")
        raise ConflictError(f"the subsets leak: {pairs} of images share content. Move or remove one of each pair.")
    if report.is_damaged:
        raise CorruptError(
            "files are damaged or not as recorded. Ask the authors for new copies of those that are named."
        )
    if len(report.subsets) < 2:
        raise NotFoundError(f"no split was found in '{path}', so that leakage could not be checked. Pass --split FILE.")
