"""tag and tags: name and sign a revision, list the names."""

from typing import Any, Final

import click

from geographer.base.errors import NotFoundError
from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.cli.requests import make_request_command
from geographer.dataset.changeable import ChangeableDataset
from geographer.dataset.reader import DatasetReader
from geographer.operations.tag.request import TagRevision

_TAG_COLUMNS: Final = (
    *("tag", "version", "position", "digest", "content_digest", "date", "author", "message", "signed_by"),
)
_request_option = click.Option(
    ["--timestamp-request", "request_file"],
    metavar="FILE",
    show_default="none",
    help="Write a request for a time stamp of the tag's signature, for an authority that is not at a URL (openssl ts); "
    "pass its answer as --timestamp.",
)


def _run_tag(dataset: ChangeableDataset, request: TagRevision, *, as_json: bool, request_file: str | None) -> None:
    """Set or sign the tag; with a file for a request alone, only write that for a signature that the tag has."""
    if request_file is not None and request.sign is None and not _has_tag(dataset, request.name):
        raise NotFoundError(f"no tag '{request.name}' with a signature, which a time stamp covers. Add --sign KEY.")
    has_change = request_file is None or request.sign is not None
    if has_change:
        output.print_result(dataset.run(request), as_json=as_json)
    if request_file is not None and not request.dry_run:
        dataset.write_time_stamp_request(request.name, request_file)
        if not as_json:
            click.echo(f"wrote {request_file}: let an authority answer it, then run geographer tag --timestamp ANSWER")


def _has_tag(dataset: ChangeableDataset, name: str) -> bool:
    return any(row["tag"] == name for row in dataset.tags().to_pylist())


tag_command = make_request_command(
    "tag", TagRevision, _request_option, run=_run_tag, open_dataset=options.open_changeable_dataset
)


@click.command("tags", epilog=format_example("tags"))
@options.json_option
@options.pass_dataset
def tags_command(dataset: DatasetReader, as_json: bool) -> None:
    """List the tags with their digests, and who set them when and why."""
    signatures = dataset.list_signatures().to_pylist()
    rows = [{**row, "signed_by": _list_keys(row, signatures)} for row in dataset.tags().to_pylist()]
    if as_json:
        output.print_rows(rows, _TAG_COLUMNS, as_json=True)
        return
    shown = [
        {**row, "date": output.format_time(row["recorded_at"]), "signed_by": " ".join(row["signed_by"])} for row in rows
    ]
    output.print_rows(shown, _TAG_COLUMNS, as_json=False)


def _list_keys(tag: dict[str, Any], signatures: list[dict[str, Any]]) -> list[str]:
    """Return the fingerprints of the keys that signed a tag as it is now, each once."""
    own = [item["key"] for item in signatures if (item["tag"], item["digest"]) == (tag["tag"], tag["digest"])]
    return list(dict.fromkeys(own))
