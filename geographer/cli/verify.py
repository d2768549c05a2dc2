"""verify: check the log and all files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from geographer.base.errors import CorruptError, UsageError
from geographer.base.text import format_count
from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.cli.workers import add_workers_options
from geographer.dataset.reader import DatasetReader
from geographer.outputs.manifest import find_exported_folder, verify_folder


def _make_file_option(flag: str, name: str, help_text: str) -> Callable[[Any], Any]:
    """Return an option whose file can be left out."""
    return click.option(
        flag, name, is_flag=False, flag_value="", default=None, metavar="[FILE]", show_default="none", help=help_text
    )


def _read_file_option(value: str | None) -> str | bool:
    """Return the file of an option, True if the file was left out, False without the option."""
    return value or value is not None


@click.command(
    "verify",
    epilog=format_example("verify v1", "verify --expect 600fc16ebd11", "verify v1 --signature allowed_signers"),
)
@click.argument("revision", default=None, required=False, metavar="[REV]")
@options.make_option(
    "--expect DIGEST",
    "none",
    "A digest that you kept elsewhere: of an event, a content digest, a Merkle root or a log root; detects a rewritten "
    "log.",
)
@_make_file_option(
    "--signature",
    "signatures",
    "Require a signature of each tag (or of REV), by one of the keys in FILE: allowed_signers as Git uses it, or PEM.",
)
@_make_file_option(
    "--timestamp",
    "timestamps",
    "Require a time stamp of each signature, by an authority that the certificates in FILE (PEM) vouch for.",
)
@click.option("--all", "all_tags", is_flag=True, help="Read the files of every tag, too, and compare its Merkle root.")
@click.option(
    "--repair",
    is_flag=True,
    help="Delete orphaned files, write .dvc files again and rebuild the derived state; the log is never changed.",
)
@add_workers_options
@options.json_option
@click.pass_obj
def verify_command(
    folder: str,
    revision: str | None,
    expect: str | None,
    signatures: str | None,
    timestamps: str | None,
    all_tags: bool,
    repair: bool,
    workers: int | str,
    as_json: bool,
) -> None:
    """Check that the log and all files are as recorded, or list what differs.

    Reads the whole log, and every raster and label of the revision. If REV is omitted, it reads those of the head,
    compares the content digest of every tag, and looks for the files of every tag in the cache or the remote. In a
    folder that checkout --to wrote, it reads the files and compares them with its MANIFEST; that needs no dataset.
    Signatures of tags are always compared with what they signed; --signature says whose they must be. Write REV before
    --signature and --timestamp, whose FILE can be left out.
    The exit code is 5 if something differs.
    """
    exported_folder = find_exported_folder(Path(folder))
    if exported_folder is None:
        dataset = DatasetReader.open(folder, progress=output.show_progress)
        asked = {"signatures": _read_file_option(signatures), "timestamps": _read_file_option(timestamps)}
        result = dataset.verify(revision, expect=expect, all_tags=all_tags, repair=repair, workers=workers, **asked)
    elif revision is None and not (all_tags or repair or signatures is not None or timestamps is not None):
        result = verify_folder(exported_folder, expect=expect)
    else:
        raise UsageError(
            f"'{exported_folder}' is a checkout without a log. Only --expect and --json can be used in it."
        )
    for finding in result:
        if as_json:
            output.print_json_line(finding.to_dict())
        else:
            since = f" (since @{finding.position})" if finding.position is not None else ""
            click.echo(f"{finding.kind}: {finding.subject}{since}: {finding.detail}")
    if as_json:
        output.print_json_line({"findings": len(result), **result.report.to_dict()})
    else:
        for line in [*([] if result else [result.report.format_success()]), *result.report.list_lines()]:
            click.echo(line)
    if result:
        remedies = " ".join(result.list_remedies())
        raise CorruptError(
            f"{format_count(len(result), 'finding')}: something differs from what was recorded. {remedies}"
        )
