"""Write a dataset with every kind of event as `dataset-VERSION.tar.gz`, to be read by all later versions.

    python -m tests.compatibility.make_dataset CHECKOUT

Run it once for each release, under the released commit, and add what the archive holds to `test_released_datasets.py`.
An archive is never written again. `dataset-0.1.0.tar.gz` was written by commit 92ba812.

CHECKOUT is a folder with a checkout of that commit. The commands of `example_commands.py` run in a new folder,
/home/ada, so that nothing of this machine is recorded. The archive holds `ponds` with its log, its state, its
workspace and DVC's cache; not the inputs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.compatibility.compare_commits import start_commands

FOLDER = Path(__file__).parent
HOME = Path("/home/ada")
LEFT_OUT = re.compile(r"ponds/(\.dvc/tmp|\.geographer/(checkouts|downloads|staging))(/|$)")
"""What belongs to a machine and not to a dataset."""
ABSOLUTE_PATH = re.compile(rb"/(?:home|root|tmp|work|usr|var|opt|mnt)/[\w./-]+")


def write_archive(dataset: Path, path: Path) -> None:
    """Archive a dataset as the folder `ponds`, owned by Ada."""

    def set_owner(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        member.uid = member.gid = 1000
        member.uname = member.gname = "ada"
        return None if LEFT_OUT.match(member.name) else member

    with (
        gzip.GzipFile(path, "wb", compresslevel=9, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        archive.add(dataset, "ponds", filter=set_owner)


def find_paths(archive: Path) -> set[bytes]:
    """Return the absolute paths that the files of an archive hold."""
    with tarfile.open(archive) as opened:
        files = [opened.extractfile(member) for member in opened.getmembers() if member.isreg()]
        return {path for file in files if file for path in ABSOLUTE_PATH.findall(file.read())}


def main() -> None:
    """Run the commands under the checkout and write the archive, unless it exists."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, metavar="CHECKOUT", help="a folder with a checkout of the release")
    checkout = parser.parse_args().checkout.resolve()
    (version,) = re.findall(r'__version__ = "(.+)"', (checkout / "geographer" / "__init__.py").read_text())
    path = FOLDER / f"dataset-{version}.tar.gz"
    if path.exists() or HOME.exists():
        sys.exit(f"error: {path if path.exists() else HOME} exists: it is not overwritten")
    os.umask(0o022)
    try:
        if start_commands(checkout, HOME / "data", HOME / "home").wait():
            sys.exit("error: the commands failed: see above")
        results = json.loads((HOME / "home" / "results.json").read_text())["results"]
        failed = [result for result in results if result["exit_code"] != result["expected"]]
        if failed:
            sys.exit(f"error: these commands ended with another exit code than expected: {failed}")
        write_archive(HOME / "data" / "ponds", path)
    finally:
        shutil.rmtree(HOME)
    commit = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    written_by = subprocess.run(commit, capture_output=True, text=True, check=True).stdout.strip()
    print(f"{path.name}: {path.stat().st_size:,} bytes, written by {written_by}")
    print(f"absolute paths in it: {sorted(find_paths(path)) or 'none'}")


if __name__ == "__main__":
    main()
