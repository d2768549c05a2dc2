"""Two people and a reader share a dataset: `python examples/team/run.py OUT` creates OUT and prints each command.

Ada makes a dataset of glaciers in a Git repository, tags v1, and publishes it on a DVC remote. Bob clones it, adds the
eastern glaciers, tags v2, and publishes that. Ada pulls. Grace, who has the URL of the remote alone, reproduces v1.
Bob publishes a branch. Then Bob and Ada change one glacier at once; Bob merges, and resolves the conflict. Ada merges
his branch. The remote and the Git server are folders in OUT.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from geographer.demo.glaciers import find_example_data

PEOPLE: Final = ("ada", "bob", "grace")
MODULES: Final = ("geographer", "dvc")
"""The commands that are run as modules of this Python."""
CONFLICT: Final = 4
"""The exit code of a command that is refused because of a change by others, or that leaves conflicts."""
GIT_CONFLICT: Final = 1
"""The exit code of a merge of Git that stops at conflicts."""


def main() -> None:
    """Run all commands in a new folder, the only argument."""
    if len(sys.argv) != 2:
        sys.exit("usage: python run.py OUT")
    folder = Path(sys.argv[1])
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"'{folder}' is not empty. Choose a new folder.")
    for person in PEOPLE:
        (folder / person).mkdir(parents=True)
    story = Story(folder)
    publish_first_version(story)
    clone_and_continue(story)
    pull_changes(story)
    reproduce_from_remote(story)
    show_older_commit(story)
    work_on_branch(story)
    diverge_and_merge(story)
    merge_branch(story)


class Story:
    """Runs and prints the commands of several people, each in a folder of `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = str(find_example_data())

    def run(self, place: str, command: str, *, code: int = 0) -> str:
        """Run a command of the person in whose folder `place` lies, print it and its output, and return the output.

        Raises:
            SystemExit: the command did not exit with `code`.
        """
        print_text(f"{place}$ {command}\n")
        words = [word.replace("$DATA", self.data) for word in shlex.split(command)]
        run = subprocess.run(
            [sys.executable, "-m", *words] if words[0] in MODULES else words,
            cwd=self.root / place,
            env=self._make_environment(place.partition("/")[0].capitalize()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print_text(run.stdout.replace(self.data, "$DATA"))
        if run.returncode != code:
            sys.exit(f"exit code {run.returncode}, not {code}")
        return str(run.stdout)

    def _make_environment(self, person: str) -> dict[str, str]:
        """Return the variables with the name of an author for Git and geographer, whatever this machine's settings."""
        git: dict[str, Any] = {f"GIT_{role}_NAME": person for role in ("AUTHOR", "COMMITTER")}
        git |= {f"GIT_{role}_EMAIL": f"{person.lower()}@example.org" for role in ("AUTHOR", "COMMITTER")}
        git |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        return {**os.environ, **git, "GEOGRAPHER_AUTHOR": person, "DVC_NO_ANALYTICS": "1"}


def publish_first_version(story: Story) -> None:
    """Let Ada make the dataset, tag v1, and publish it."""
    story.run("ada", "git init --quiet --bare --initial-branch=main ../glaciers.git")
    story.run("ada", "git clone --quiet ../glaciers.git")
    story.run("ada", "geographer init glaciers --class glacier")
    place = "ada/glaciers"
    west = '--id glacier_id --where "ST_X(geom) < -105.66"'
    story.run(place, f"geographer add features $DATA/colorado-glaciers.geojson {west}")
    story.run(place, "geographer add rasters $DATA/rmnp-rgb.tif")
    story.run(place, "geographer cut around chips --size 32")
    story.run(place, "geographer tag v1")
    story.run(place, "dvc remote add --default origin ../../store")
    story.run(place, "git add .")
    story.run(place, "git commit --quiet -m 'v1: the west'")
    story.run(place, "geographer push")
    story.run(place, "git push --quiet")


def clone_and_continue(story: Story) -> None:
    """Let Bob clone the dataset, add features, tag v2, and publish that."""
    story.run("bob", "geographer clone ../glaciers.git")
    place = "bob/glaciers"
    east = '--id glacier_id --where "ST_X(geom) >= -105.66"'
    story.run(place, f"geographer add features $DATA/colorado-glaciers.geojson {east}")
    story.run(place, "geographer update")
    story.run(place, "geographer tag v2")
    story.run(place, "git status --short")
    story.run(place, "git commit --quiet --all -m 'v2: the east, too'")
    story.run(place, "geographer push")
    story.run(place, "git push --quiet")


def pull_changes(story: Story) -> None:
    """Let Ada get what Bob published."""
    story.run("ada/glaciers", "git pull --quiet")
    story.run("ada/glaciers", "geographer pull")
    story.run("ada/glaciers", "geographer log -n 4")


def reproduce_from_remote(story: Story) -> None:
    """Let Grace write the files of v1 from the remote alone, and compare them with the digest that Ada cites."""
    story.run("grace", "geographer clone ../store glaciers --no-pixels")
    reproduced = story.run("grace/glaciers", "geographer reproduce v1 --to ../v1")
    digest = reproduced.rpartition("content ")[2].split(",")[0]
    story.run("grace", f"geographer -C v1 verify --expect {digest}")


def show_older_commit(story: Story) -> None:
    """Let Bob look at an older commit of Git, and come back."""
    for commit in ("HEAD~1", "main"):
        story.run("bob/glaciers", f"git checkout --quiet {commit}")
        story.run("bob/glaciers", "geographer checkout")


def work_on_branch(story: Story) -> None:
    """Let Bob publish a branch of the dataset, on a branch of Git with its name, and Ada fetch it."""
    place = "bob/glaciers"
    story.run(place, "geographer branch elevation")
    story.run(place, "geographer switch elevation")
    story.run(place, "git checkout --quiet -b elevation")
    story.run(place, "geographer add rasters $DATA/rmnp-dem.tif --collection elevation")
    story.run(place, "git add .")
    story.run(place, "git commit --quiet -m 'elevation'")
    story.run(place, "geographer push")
    story.run(place, "git push --quiet origin elevation")
    story.run(place, "git checkout --quiet main")
    story.run(place, "geographer checkout")
    story.run("ada/glaciers", "geographer fetch")
    story.run("ada/glaciers", "geographer diff main origin/elevation --stat")


def diverge_and_merge(story: Story) -> None:
    """Let Ada and Bob change one glacier at once, and Bob merge, with one conflict."""
    where = "--where \"glacier_id = 'G252010E37838N'\""
    glacier = f"geographer add features $DATA/colorado-glaciers.geojson --id glacier_id {where} "
    story.run("ada/glaciers", "geographer add classes lake")
    story.run("ada/glaciers", glacier + "--as-class lake --replace")
    story.run("ada/glaciers", "git commit --quiet --all -m 'a lake'")
    story.run("ada/glaciers", "geographer push")
    story.run("ada/glaciers", "git push --quiet")
    place = "bob/glaciers"
    story.run(place, "geographer remove features G252010E37838N")
    story.run(place, "git commit --quiet --all -m 'no glacier'")
    story.run(place, "geographer push", code=CONFLICT)
    story.run(place, "geographer git-setup")
    story.run(place, "git pull --quiet --no-rebase", code=GIT_CONFLICT)
    story.run(place, "geographer checkout HEAD")
    story.run(place, "geographer merge origin/main", code=CONFLICT)
    story.run(place, "geographer conflicts")
    story.run(place, "geographer push", code=CONFLICT)
    story.run(place, "geographer resolve 1 --take theirs")
    story.run(place, "git add .")
    story.run(place, "git commit --quiet -m 'a lake'")
    story.run(place, "geographer push")
    story.run(place, "git push --quiet")


def merge_branch(story: Story) -> None:
    """Let Ada pull the merge, and merge Bob's branch, which ends there."""
    place = "ada/glaciers"
    story.run(place, "git pull --quiet")
    story.run(place, "geographer pull")
    story.run(place, "geographer merge origin/elevation")
    story.run(place, "geographer log -n 4")
    story.run(place, "git add .")
    story.run(place, "git commit --quiet -m 'elevation, too'")
    story.run(place, "geographer push")
    story.run(place, "git push --quiet")


def print_text(text: str) -> None:
    """Print and flush, so that progress is visible."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
