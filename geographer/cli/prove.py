"""prove: write a proof that an object is in a tag, or that a tag's log is part of a later one."""

import click

from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader


@click.command(
    "prove", epilog=format_example("prove chips/a_p1 --at v1 --to proof.json", "prove tag:v1 --at v2 --to p.json")
)
@click.argument("identity", metavar="OBJECT")
@options.make_option("--at TAG", "the last tag", "The tag whose roots the proof leads to.")
@options.make_option("--to target FILE", "print it", "The file to write the proof to, as JSON.")
@options.pass_dataset
def prove_command(dataset: DatasetReader, identity: str, at: str | None, target: str | None) -> None:
    """Prove that an object is in a tag, or that the log of a tag is part of that of a later one.

    OBJECT is the id of a feature or raster (chips are rasters), or feature:ID, raster:ID, label:NAME/RASTER_ID,
    class:NAME, split:NAME/RASTER_ID; event:DIGEST or @17, an event of the log; or tag:NAME, an earlier tag. Who has the
    Merkle root of the tag (of events and tags: the log root) checks the proof without the dataset and without
    geographer: python examples/check_proof.py FILE ROOT.
    """
    proof = dataset.prove_object(identity, at, to=target)
    if target is None:
        output.print_json_line(proof)
    else:
        click.echo(f"{proof['kind']} of {proof['object']} at {proof['tag']['tag']}: {proof['tree']} {proof['root']}")
