"""git-setup: let Git's merges keep one side of lock and .dvc files."""

import sys
from pathlib import Path

import click

from geographer.cli.help import format_example


@click.command("git-setup", epilog=format_example("git-setup", "git-setup --undo"))
@click.option("--undo", is_flag=True, help="Remove the merge driver and its attributes.")
@click.option(
    "--merge-file",
    "paths",
    nargs=3,
    type=click.Path(path_type=Path),
    metavar="OURS THEIRS PATH",
    show_default="none",
    help="Merge one file of the work tree: Git calls this with both versions.",
)
@click.pass_obj
def git_setup_command(folder: str, undo: bool, paths: tuple[Path, Path, Path] | None) -> None:
    """Let Git keep your side of geographer.lock and the .dvc files when it merges two datasets.

    Their lines cannot be merged. With this driver, a git merge leaves your side in them instead of conflict markers,
    and stops with the command that merges the datasets. Where the other side only continues yours, Git takes it. The
    driver is set in .git/config, and .gitattributes says for which files; each clone needs this command once.
    """
    from geographer.sharing.git_merge import merge_git_file, set_up_git, undo_git_setup
    from geographer.storage.database.dataset_folder import find_dataset_root

    if paths is not None:
        merged = merge_git_file(*paths)
        if merged.message:
            click.echo(merged.message, err=True)
        sys.exit(0 if merged.is_merged else 1)
    root = find_dataset_root(Path(folder))
    if undo:
        undo_git_setup(root)
        click.echo("removed the merge driver from .git/config and .gitattributes")
        return
    for line in set_up_git(root):
        click.echo(f".gitattributes: {line}")
    click.echo("Git now keeps your side of these files; commit .gitattributes")
