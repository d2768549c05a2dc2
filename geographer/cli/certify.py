"""certify: state what the subsets of a split share."""

from __future__ import annotations

import click

from geographer.base.errors import ConflictError, NotFoundError
from geographer.base.text import quote_shell_word
from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.cli.workers import add_workers_options
from geographer.dataset.reader import DatasetReader


@click.command("certify", epilog=format_example("certify v1 --split parts --buffer 500 --to certificate.json"))
@click.argument("revision", default=None, required=False, metavar="[REV]")
@click.option("--split", required=True, metavar="NAME", help="The split whose subsets are compared.")
@options.make_option(
    "--buffer METRES", "only measured", "The distance that any two subsets must exceed.", type=click.FloatRange(min=0)
)
@click.option("--duplicates", is_flag=True, help="Also read all pixels and look for near-duplicates.")
@options.make_option(
    "--where SQL", "all features", "Only features for which this SQL expression is true count as objects."
)
@options.make_option("--to FILE", "none", "Write the certificate as JSON to this file.")
@add_workers_options
@options.json_object_option
@options.pass_dataset
def certify_command(
    dataset: DatasetReader,
    revision: str | None,
    split: str,
    buffer: float | None,
    duplicates: bool,
    where: str | None,
    to: str | None,
    workers: int | str,
    as_json: bool,
) -> None:
    """State what the subsets of a split share: objects, pixels, distance, near-duplicates.

    The certificate does not believe what the split declared. It says for each level whether it holds, which pairs of
    rasters leak, and which rasters it does not cover; it names the digests of the revision, and equal datasets give
    equal files. examples/check_certificate.py checks one without geographer. Near-duplicates are the same pixels turned
    or mirrored, shifted by up to 5 % of the side, up to 20 % brighter or darker, or compressed. The exit code is 4 if
    the subsets leak, 3 if there are no two subsets.
    """
    certificate = dataset.certify_split(
        split, at=revision, buffer=buffer, duplicates=duplicates, where=where, workers=workers
    )
    if to is not None:
        certificate.write(to)
    if as_json:
        output.print_json_line(certificate.to_dict())
    else:
        for line in certificate.iter_lines():
            click.echo(line)
    if certificate.overall_verdict == "leaks":
        declared = dataset.find_split_filter(split, at=revision) if where is None else None
        advice = "" if declared is None else f" The split counts the features --where {quote_shell_word(declared)}."
        raise ConflictError(
            f"the subsets of split '{split}' leak. Run geographer split with --by overlap, --buffer or "
            f"--near-duplicates, or remove one raster of each pair.{advice}"
        )
    if certificate.overall_verdict != "holds":
        raise NotFoundError(f"split '{split}' has no two subsets with rasters. Assign rasters with geographer split.")
