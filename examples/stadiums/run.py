"""The whole story on the command line: `python examples/stadiums/run.py OUT` makes OUT and shows each command of it.

64 stadiums; the fewest scenes that show them, downloaded; the fewest chips; masks; a split with 25 km between its
parts; v1; 15 stadiums more; an update; v2; and what changed. The archive is generated, and served on this machine only.
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
from server import serving

DATASET: Final = "dataset"
CLASSES: Final = tuple(outlines.SIDES)
COUNTS: Final = (
    "SELECT (SELECT count(*) FROM features) AS stadiums,"
    " (SELECT count(*) FROM rasters ANTI JOIN chips USING (raster_id)) AS scenes,"
    " (SELECT count(*) FROM chips) AS chips"
)


def main() -> None:
    """Run the story in a new folder, the only argument."""
    if len(sys.argv) != 2:
        sys.exit("usage: python run.py OUT")
    folder = Path(sys.argv[1])
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"'{folder}' is not empty: name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    first = outlines.write(outlines.FIRST, folder / outlines.FIRST.with_suffix(".geojson").name)
    more = outlines.write(outlines.MORE, folder / outlines.MORE.with_suffix(".geojson").name)
    there = [*outlines.stadiums(outlines.FIRST), *outlines.stadiums(outlines.MORE)]
    scenes = archive.make(folder / "archive", there)
    tell(
        f"An archive of {len(scenes)} generated scenes of {len(archive.tiles(there))} tiles, served on this machine.\n"
    )
    with serving(folder / "archive") as url:
        told = story(folder, first.name, more.name, url)
    tell(compared(told))


def story(folder: Path, first: str, more: str, url: str) -> dict[str, dict[str, int]]:
    """Every command of the story, shown with what it prints; answer what each tag holds, counted."""
    typed(folder, "init", DATASET, *(word for name in CLASSES for word in ("--class", name)), "--no-scm")
    dataset = folder / DATASET

    def geographer(*words: str) -> str:
        return typed(dataset, *words)

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
    typed(dataset, "diff", "v1", "v2", last=1)
    geographer("verify")
    return {tag: counted(geographer("sql", COUNTS, "--at", tag, "--json")) for tag in ("v1", "v2")}


def typed(where: Path, *words: str, last: int | None = None) -> str:
    """Run `geographer` with these words in a folder, show the command and what it printed; answer its output.

    Of long output only the `last` lines are shown.

    Raises:
        SystemExit: the command failed.
    """
    tell(f"$ geographer {shlex.join(words)}" + (f" | tail -{last}\n" if last else "\n"))
    run = subprocess.run(
        [sys.executable, "-m", "geographer", *words],
        cwd=where,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    tell("".join(run.stdout.splitlines(keepends=True)[-last:]) if last and not run.returncode else run.stdout)
    if run.returncode:
        sys.exit(run.returncode)
    return run.stdout


def counted(told: str) -> dict[str, int]:
    """The row that a command told as JSON."""
    row: dict[str, Any] = json.loads(told.splitlines()[-1])
    return {name: int(count) for name, count in row.items()}


def compared(told: dict[str, dict[str, int]]) -> str:
    """What one scene and one chip for each stadium would have been, beside what there is."""
    lines = [f"\n{'':<16}{'stadiums':>10}{'scenes':>10}{'chips':>10}"]
    for tag, counts in told.items():
        stadiums = counts["stadiums"]
        lines.append(f"{tag + ', one each':<16}{stadiums:>10}{stadiums:>10}{stadiums:>10}")
        lines.append(f"{tag + ', used':<16}{stadiums:>10}{counts['scenes']:>10}{counts['chips']:>10}")
    return "\n".join(lines) + "\n"


def tell(text: str) -> None:
    """Print at once, so that a person who waits sees how far it is."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
