"""Two people and a reader share a dataset: `python examples/team/run.py OUT` creates OUT and prints each command.

Ada makes a dataset of glaciers in a Git repository, tags v1, and publishes it on a DVC remote. Bob clones it, adds the
eastern glaciers, tags v2, and publishes that. Ada pulls. Grace, who has the URL of the remote alone, reproduces v1.
Then Bob and Ada record changes at once. The remote and the Git server are folders in OUT.
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
"""The exit code of a command that is refused because of a change by others."""


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
    diverge_and_import(story)


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


def diverge_and_import(story: Story) -> None:
    """Let Ada and Bob record changes at once, and Bob bring his into the published history."""
    story.run("ada/glaciers", "geographer add classes lake")
    story.run("ada/glaciers", "git commit --quiet --all -m 'lakes'")
    story.run("ada/glaciers", "geographer push")
    story.run("ada/glaciers", "git push --quiet")
    story.run("bob/glaciers", "geographer add rasters $DATA/rmnp-dem.tif --collection elevation")
    story.run("bob/glaciers", "geographer push", code=CONFLICT)
    story.run("bob", "geographer clone ../glaciers.git published")
    story.run("bob/published", "geographer import dataset ../glaciers")
    story.run("bob/published", "git add .")
    story.run("bob/published", "git commit --quiet -m 'elevation'")
    story.run("bob/published", "geographer push")
    story.run("bob/published", "git push --quiet")


def print_text(text: str) -> None:
    """Print and flush, so that progress is visible."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
