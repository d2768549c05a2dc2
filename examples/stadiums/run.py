"""The complete example on the command line: `python examples/stadiums/run.py OUT` creates OUT and prints each command.

It downloads the fewest scenes that contain 64 stadiums, cuts the fewest chips, renders masks, splits with 25 km between
the parts, tags v1, adds 15 stadiums, updates, tags v2, and compares both. The archive is generated and served locally.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import archive
import outlines
from server import serve_archive

DATASET: Final = "dataset"
CLASSES: Final = tuple(outlines.SIDES)
COUNTS: Final = (
    "SELECT (SELECT count(*) FROM features) AS stadiums,"
    " (SELECT count(*) FROM rasters ANTI JOIN chips USING (raster_id)) AS scenes,"
    " (SELECT count(*) FROM chips) AS chips"
)


def main() -> None:
    """Run all commands in a new folder, the only argument."""
    if len(sys.argv) != 2:
        sys.exit("usage: python run.py OUT")
    folder = Path(sys.argv[1])
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"'{folder}' is not empty. Choose a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    first = outlines.write_geojson(outlines.FIRST, folder / outlines.FIRST.with_suffix(".geojson").name)
    more = outlines.write_geojson(outlines.MORE, folder / outlines.MORE.with_suffix(".geojson").name)
    stadiums = [*outlines.read_stadiums(outlines.FIRST), *outlines.read_stadiums(outlines.MORE)]
    scenes = archive.make_archive(folder / "archive", stadiums)
    n_tiles = len(archive.find_tiles(stadiums))
    print_text(f"Serving an archive of {len(scenes)} generated scenes of {n_tiles} tiles on this machine.\n")
    with serve_archive(folder / "archive") as url:
        counts_by_tag = run_commands(folder, first.name, more.name, url)
    print_text(format_comparison(counts_by_tag))


def run_commands(folder: Path, first: str, more: str, url: str) -> dict[str, dict[str, int]]:
    """Run and print all commands; return the counts of stadiums, scenes and chips at each tag."""
    run_geographer(folder, "init", DATASET, *(word for name in CLASSES for word in ("--class", name)), "--no-scm")
    dataset = folder / DATASET

    def geographer(*words: str) -> str:
        return run_geographer(dataset, *words)

    download = ["download", "sentinel", "--provider", "local", "--collection", archive.COLLECTION]
    download += ["--source-option", f"url={url}", "--start", "2026-05-01", "--end", "2026-08-31", "--max-cloud", "20"]
    geographer("add", "features", f"../{first}", "--id", "stadium", "-m", "stadiums of 14 cities")
    geographer(*download, "--plan")
    geographer(*download)
    geographer("cut", "cover", "chips", "--size", "256")
    geographer("label", "mask", "mask", "--collection", "chips")
    parts = ("--parts", "train=0.6,val=0.2,test=0.2", "--buffer", "25000", "--stratify", "class", "--seed", "1")
    geographer("split", "split", "--collection", "chips", *parts)
    geographer("tag", "v1")
    geographer("add", "features", f"../{more}", "--id", "stadium", "-m", "15 more, in old and new cities")
    geographer("update", "--on-conflict", "exclude")
    geographer("tag", "v2")
    geographer("diff", "v1", "v2", "--stat")
    geographer("verify")
    return {tag: parse_counts(geographer("sql", COUNTS, "--at", tag, "--json")) for tag in ("v1", "v2")}


def run_geographer(folder: Path, *words: str) -> str:
    """Run `geographer` with these words in a folder, print the command and its output, and return the output.

    Raises:
        SystemExit: the command failed.
    """
    print_text(f"$ geographer {shlex.join(words)}\n")
    run = subprocess.run(
        [sys.executable, "-m", "geographer", *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print_text(run.stdout)
    if run.returncode:
        sys.exit(run.returncode)
    return run.stdout


def parse_counts(output: str) -> dict[str, int]:
    """Return the counts in the JSON row that a command printed."""
    row: dict[str, Any] = json.loads(output.splitlines()[-1])
    return {name: int(count) for name, count in row.items()}


def format_comparison(counts_by_tag: dict[str, dict[str, int]]) -> str:
    """Return a table that compares one scene and one chip per stadium with the actual counts."""
    lines = [f"\n{'':<16}{'stadiums':>10}{'scenes':>10}{'chips':>10}"]
    for tag, counts in counts_by_tag.items():
        stadiums = counts["stadiums"]
        lines.append(f"{tag + ', one each':<16}{stadiums:>10}{stadiums:>10}{stadiums:>10}")
        lines.append(f"{tag + ', used':<16}{stadiums:>10}{counts['scenes']:>10}{counts['chips']:>10}")
    return "\n".join(lines) + "\n"


def print_text(text: str) -> None:
    """Print and flush, so that progress is visible."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
