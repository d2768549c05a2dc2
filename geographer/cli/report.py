"""report: write the page that a reviewer opens."""

from __future__ import annotations

import click

from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader


@click.command(
    "report",
    epilog=format_example("report v1 --html report.html", "report v1 --html report.html --rerun rerun.json"),
)
@click.argument("tag", default=None, required=False, metavar="[TAG]")
@click.option("--html", metavar="FILE", required=True, help="The file to write.")
@click.option(
    "--split",
    "splits",
    multiple=True,
    metavar="NAME",
    show_default="all",
    help="Certify only this split; can be repeated.",
)
@options.make_option(
    "--buffer METRES", "only measured", "The distance that any two subsets must exceed.", type=click.FloatRange(min=0)
)
@click.option("--duplicates", is_flag=True, help="Also read all pixels and look for near-duplicates.")
@click.option("--verify", is_flag=True, help="Also hash the log and all files of the revision.")
@options.make_option(
    "--where SQL",
    "what the split declared",
    "Only features for which this SQL expression is true count as objects.",
)
@click.option(
    "--examples",
    type=click.IntRange(0, 200),
    default=24,
    show_default=True,
    metavar="COUNT",
    help="How many chips to show at most.",
)
@click.option(
    "--rerun",
    "reruns",
    multiple=True,
    metavar="FILE",
    show_default="none",
    help="Join what rerun --json printed; can be repeated.",
)
@click.option(
    "--certificate",
    "certificates",
    multiple=True,
    metavar="FILE",
    show_default="none",
    help="Join a certificate that certify --to wrote; can be repeated.",
)
@options.json_object_option
@options.pass_dataset
def report_command(
    dataset: DatasetReader,
    tag: str | None,
    html: str,
    splits: tuple[str, ...],
    buffer: float | None,
    duplicates: bool,
    verify: bool,
    where: str | None,
    examples: int,
    reruns: tuple[str, ...],
    certificates: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write a page that says what a revision is, what was checked, and how to check it.

    TAG is a tag or any revision; without it, it is the newest tag, or the head if there is none. The page is one file
    that needs no network: description, digests, map, timeline, class balance, leakage certificates of all splits,
    example chips, sources and licences, recipes, what can be made again, known limits, how to cite and how to check.
    Equal datasets give equal files. Without --verify, no files are read but those of the chips that are shown.
    """
    result = dataset.write_report(
        tag,
        html,
        splits=splits,
        buffer=buffer,
        duplicates=duplicates,
        verify=verify,
        where=where,
        examples=examples,
        reruns=reruns,
        certificates=certificates,
    )
    if as_json:
        output.print_json_line({**result._asdict(), "path": str(result.path)})
        return
    click.echo(f"'{html}' is the report of {result.revision} {result.digest[:12]}, one file that needs no network")
    click.echo(result.verdict)
    if result.failed:
        click.echo(f"failed: {'; '.join(result.failed)}")
    if result.unchecked:
        click.echo(f"not checked: {'; '.join(result.unchecked)}")
