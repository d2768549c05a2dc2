"""release and cite: write what a paper's reader needs, say how to cite a tag."""

import sys
from typing import Any, Literal

import click

from geographer.cli import options, output
from geographer.cli.describe import ask_questions
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader
from geographer.operations.describe import DescribeDataset


@click.command("release", epilog=format_example("release v1 --to ../ponds-v1"))
@click.argument("tag")
@click.option("--to", "folder", metavar="DIR", required=True, help="The new folder, or that of an earlier release.")
@click.option(
    "--for",
    "audience",
    type=click.Choice(["neurips", "zenodo"]),
    show_default="everyone",
    help="neurips: the Croissant file has absolute URLs. zenodo: folders become archives, with a deposit's metadata.",
)
@options.json_object_option
@click.pass_obj
def release_command(
    root: str, tag: str, folder: str, audience: Literal["neurips", "zenodo"] | None, as_json: bool
) -> None:
    """Write the release of a tag to a folder: what a reader needs to check, cite and load the dataset.

    The folder holds the files, the tables as GeoParquet, the log, RO-Crate, PROV, Croissant, STAC, a datasheet,
    citations, a methods paragraph, and MANIFEST with the SHA-256 of each file. Equal logs give equal bytes. A terminal
    is asked for what is not described yet.
    """
    if sys.stdin.isatty() and sys.stdout.isatty():
        describe_missing_fields(root)
    result = DatasetReader.open(root, progress=output.show_progress).write_release(tag, folder, audience=audience)
    for warning in result.warnings:
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        output.print_json_line(result._asdict())
        return
    click.echo(f"'{folder}' is the release of {tag}, version {result.version}: {result.files:,} files")
    click.echo(f"cite the SHA-256 of its MANIFEST beside the digests: {result.manifest}")


def describe_missing_fields(root: str) -> None:
    """Ask the terminal for what is not described yet, and record the answers."""
    dataset: Any = options.open_dataset(root)
    if answers := ask_questions(dataset.read_description()):
        output.print_result(dataset.run(DescribeDataset(**answers)), as_json=False)


@click.command("cite", epilog=format_example("cite v1", "cite v1 --format bibtex"))
@click.argument("tag")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "bibtex", "cff"]),
    default="text",
    show_default=True,
    help="One line, an entry for BibTeX, or a CITATION.cff.",
)
@options.json_object_option
@options.pass_dataset
def cite_command(dataset: DatasetReader, tag: str, form: str, as_json: bool) -> None:
    """Say how to cite a tag, with its digests."""
    citation = dataset.cite_tag(tag)
    if as_json:
        output.print_json_line(citation._asdict())
        return
    texts = {"text": citation.reference, "bibtex": citation.bibtex, "cff": citation.cff}
    click.echo(texts[form].rstrip("\n"))
