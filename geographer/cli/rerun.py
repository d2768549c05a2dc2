"""rerun: make the derived files of a revision again, and compare them with the recorded ones."""

import sys
from typing import TYPE_CHECKING, Final

import click

from geographer.base.errors import ConflictError, StorageError
from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.cli.workers import add_workers_options
from geographer.dataset.reader import DatasetReader

if TYPE_CHECKING:
    from geographer.outputs.rerun.archive_report import ArchiveReport
    from geographer.outputs.rerun.report import RerunReport

_EXIT_DIFFERENT: Final = ConflictError.exit_code
_FETCH_WORKERS: Final = 4


@click.command("rerun", epilog=format_example("rerun v1", "rerun --recipe chips", "rerun v1 --json"))
@click.argument("revision", default=None, required=False, metavar="[REV]")
@options.make_option("--recipe NAME", "all", "Only the files of this recipe, label or collection.")
@add_workers_options
@click.option("--commands", is_flag=True, help="Run recorded commands again; only if you trust their authors.")
@click.option(
    "--against-archive",
    is_flag=True,
    help="Ask instead the archives of downloaded rasters what they would give today; --recipe names a download.",
)
@options.json_option
@options.pass_dataset
def rerun_command(
    dataset: DatasetReader,
    revision: str | None,
    recipe: str | None,
    workers: int | str,
    commands: bool,
    against_archive: bool,
    as_json: bool,
) -> None:
    """Make the derived files of a revision again in a scratch folder, and compare them.

    Chips, labels and outputs of geographer run are made as the log says: each event's request is planned again at the
    revision before it, and built from the recorded bytes of its sources, which are hashed first. Of each file it says
    whether it has identical bytes, identical pixels, or different ones (how many, where, by how much), or why it cannot
    be made again; and of each event, whether its plan and the software are as they were. Nothing in the dataset
    changes. The scratch folder lies in the system's folder for temporary files; TMPDIR names another one. The exit code
    is 4 if anything is not as recorded.

    With --against-archive, the archive of each downloaded raster is asked for it: it gives the same (bytes or pixels),
    another processing of the same acquisition, altered pixels under the same id, or nothing; or it could not be asked,
    and why. Where pixels differ, chips and labels are made from them, and their drift is shown. The exit code is then 4
    if anything differs or is gone, and 6 if an archive could not be asked.
    """
    if against_archive:
        _check_archives(dataset, revision, recipe, workers, as_json=as_json)
        return
    report = dataset.rerun_revision(revision, recipe=recipe, workers=workers, commands=commands)
    _print_report(report, as_json=as_json)
    if not report.is_identical:
        sys.exit(_EXIT_DIFFERENT)


def _check_archives(
    dataset: DatasetReader, revision: str | None, recipe: str | None, workers: int | str, *, as_json: bool
) -> None:
    report = dataset.check_archives(revision, recipe=recipe, workers=workers)
    _print_report(report, as_json=as_json)
    if not report.is_same:
        counts = report.count_results()
        is_different = any(counts[name] for name in ("reprocessed", "altered", "gone"))
        sys.exit(_EXIT_DIFFERENT if is_different else StorageError.exit_code)


def _print_report(report: "RerunReport | ArchiveReport", *, as_json: bool) -> None:
    for row in report.iter_rows() if as_json else ():
        output.print_json_line(row)
    for line in () if as_json else report.iter_lines():
        click.echo(line)
