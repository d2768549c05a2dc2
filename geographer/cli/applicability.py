"""applicability: map where a model that is trained on a split's samples is applicable."""

import click

from geographer.base.errors import UsageError
from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader


@click.command("applicability", epilog=format_example("applicability folds --covariate s2.tif:4,8 --to map.tif"))
@click.argument("split")
@click.option(
    "--covariate",
    "covariates",
    metavar="FILE[:BANDS]",
    multiple=True,
    required=True,
    help="A raster that the model uses, with bands such as :4,8, or all of them; the first one gives the grid. "
    "Repeatable.",
)
@click.option(
    "--weight",
    "weights",
    metavar="NAME=NUMBER",
    multiple=True,
    show_default="1",
    help="The weight of a covariate, such as its importance. Repeatable.",
)
@click.option("--to", "path", metavar="FILE", required=True, help="The GeoTIFF to write.")
@options.at_option
@options.json_object_option
@options.pass_dataset
def applicability_command(
    dataset: DatasetReader,
    split: str,
    covariates: tuple[str, ...],
    weights: tuple[str, ...],
    path: str,
    at: str | None,
    as_json: bool,
) -> None:
    """Map where a model trained on a split's samples is applicable (area of applicability).

    The first band is the dissimilarity index: the distance to the nearest sample among the covariates, divided by the
    mean distance between samples. The second is 1 where it is not above that of the samples to those of other parts,
    without outliers (Meyer and Pebesma 2021).
    """
    parsed = {name: _parse_weight(name, value) for name, value in options.parse_pairs(weights, "NAME=NUMBER").items()}
    result = dataset.map_applicability(split, covariates, path, weights=parsed, at=at)
    if as_json:
        output.print_json_line(result._asdict())
        return
    click.echo(
        f"'{path}': applicable in {result.applicable:.1%} of {result.pixels:,} pixels (threshold "
        f"{result.threshold:.4g}), by {result.samples:,} samples and the covariates {', '.join(result.covariates)}"
    )
    if result.left_out:
        click.echo(f"{result.left_out:,} rasters are left out: the covariates do not cover them", err=True)


def _parse_weight(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"invalid --weight '{name}={text}'. Use a number, for example {name}=0.5.") from None
