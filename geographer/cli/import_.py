"""import: annotations in pixel coordinates, another dataset, or a directory of GeoGrapher 1.0."""

from typing import Final

import click

from geographer.base.text import format_count
from geographer.cli import output
from geographer.cli.help import CommandGroup, format_example
from geographer.cli.merge import print_merge
from geographer.cli.requests import Requests, make_request_command
from geographer.dataset import Dataset
from geographer.operations.add.annotations.request import ImportCoco, ImportCvat, ImportLabelStudio, ImportYolo
from geographer.operations.add.geographer_import import ImportGeographer
from geographer.operations.import_dataset.request import ImportDataset
from geographer.operations.merge.request import MergeRevision

_MAX_PRINTED_EDGES: Final = 20


@click.group("import", cls=CommandGroup, epilog=format_example("import dataset ../lakes --at v2"))
def import_command() -> None:
    """Import annotations in pixels, another dataset, or GeoGrapher 1.0."""


def _import_geographer(dataset: Dataset, request: ImportGeographer, *, as_json: bool) -> None:
    result = dataset.run(request)
    output.print_result(result, as_json=as_json)
    differences = dataset.compare_geographer(request.directory).to_pylist() if result.changed else []
    if as_json:
        for row in differences:
            output.print_json_line({"object": "edge", **row})
        return
    counts = result.summary.get("edges")
    if counts and (result.changed or request.dry_run):
        click.echo(
            f"edges: {counts['before']:,} in the old graph, {counts['after']:,} here, {counts['different']:,} differ"
        )
        for reason, count in result.summary["differences"].items():
            click.echo(f"  {count:,}: {reason}")
    if differences:
        columns = ("feature_id", "raster_id", "was", "now")
        rows = [[row[name] or "-" for name in columns] for row in differences[:_MAX_PRINTED_EDGES]]
        output.print_table(columns, rows)
    omitted = len(differences) - _MAX_PRINTED_EDGES
    if omitted > 0:
        click.echo(f"… and {omitted:,} more; --json or Dataset.compare_geographer lists all")


def _import_dataset(dataset: Dataset, request: ImportDataset, *, as_json: bool) -> None:
    result = dataset.import_dataset(**{name: getattr(request, name) for name in request.__struct_fields__})
    if result.kind != MergeRevision.event.kind:
        output.print_result(result, as_json=as_json)
    elif not as_json and "events" in result.summary:
        count = format_count(result.summary["events"], "event")
        click.echo(f"would merge {count} of '{request.path}', which has a common history; nothing was changed")
    else:
        print_merge(dataset, result, as_json=as_json)


import_command.add_command(make_request_command("geographer", ImportGeographer, run=_import_geographer))
import_command.add_command(make_request_command("dataset", ImportDataset, run=_import_dataset))
_ANNOTATIONS: Requests = {"coco": ImportCoco, "yolo": ImportYolo, "label-studio": ImportLabelStudio, "cvat": ImportCvat}
for _name, _request_class in _ANNOTATIONS.items():
    import_command.add_command(make_request_command(_name, _request_class))
