"""`python -m tests.reliability.fuzz ROOT SEEDS RESULTS CURRENT RUNS SEED`: mutate inputs by atheris, guided by coverage.

It runs commands in this process, and writes the faults of each input as one line of JSON to RESULTS.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["geographer"]):
    from tests.reliability.processes import Command, Finished, isolate_environment, preload_modules, run_in_process

    preload_modules()

from tests.reliability.example import FIRST_KEPT, Example
from tests.reliability.inputs import Input, check_input, list_commands
from tests.reliability.stage import Try


def main() -> None:
    """Fuzz as the command line says."""
    root, seeds, results, current = map(Path, sys.argv[1:5])
    folder = Path(tempfile.mkdtemp(prefix="geographer-atheris-"))
    isolate_environment(folder)
    commands = list_commands()
    corpus = folder / "corpus"
    corpus.mkdir()
    for index, (file, _) in enumerate(commands):
        content = (seeds / file).read_bytes() if file else b"class = 'pond' AND v1~1"
        (corpus / str(index)).write_bytes(bytes([index]) + content)
    example = Example(seeds, {FIRST_KEPT: root})

    def run_here(place: Path, *lines: Command) -> list[Finished]:
        os.chdir(place)
        return [run_in_process(line) for line in lines]

    def test_input(data: bytes) -> None:
        file, command = commands[(data[0] if data else 0) % len(commands)]
        current.write_bytes(repr((command, data[1:200])).encode())
        one = Try(random.Random(0), folder / "try")
        one.folder.mkdir()
        faults = check_input(example, one, seeds, Input(file, data[1:], command), run_here)
        line = json.dumps([(kind, f"{data[1:60]!r}: {text}") for kind, text in faults])
        os.chdir(folder)
        shutil.rmtree(one.folder)
        with results.open("a") as lines:
            lines.write(line + "\n")

    runs, seed = sys.argv[5:]
    options = [f"-runs={runs}", f"-seed={seed}", "-max_len=100000", "-timeout=240", "-rss_limit_mb=0", "-verbosity=0"]
    options.append(f"-artifact_prefix={folder}/")
    atheris.Setup([sys.argv[0], *options, str(corpus)], test_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
