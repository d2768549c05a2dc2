"""Prove one object of a tag with 1,000,000 lines: the time, the memory and the size of the proof.

    python -m tests.benchmarks.proving [LINES]

The dataset has one class and LINES features; it is made in a temporary folder.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from geographer import Dataset
from geographer.base.canonical_json import canonical_json


def write_points(path: Path, count: int) -> Path:
    """Write points on a grid as GeoJSON, one feature a line."""
    with path.open("w") as file:
        file.write('{"type": "FeatureCollection", "features": [\n')
        for number in range(count):
            geometry = {"type": "Point", "coordinates": [number % 1000 * 0.1, number // 1000 * 0.05]}
            properties = {"id": f"f{number}", "class": "pond", "name": f"pond number {number}"}
            text = json.dumps({"type": "Feature", "properties": properties, "geometry": geometry})
            file.write(f"{text}{'' if number == count - 1 else ','}\n")
        file.write("]}\n")
    return path


def main() -> None:
    """Make the dataset, tag it, and prove objects of it."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset.init(Path(folder) / "dataset", scm=False)
        dataset.add_features(write_points(Path(folder) / "points.geojson", count))
        start = time.perf_counter()
        dataset.tag("v1")
        tagged = time.perf_counter() - start
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name in ("feature:f77", f"feature:f{count - 1}"):
            start = time.perf_counter()
            proof = dataset.prove_object(name)
            seconds = time.perf_counter() - start
            sys.stdout.write(f"prove {name}: {seconds:.2f} s, {len(canonical_json(proof)):,} bytes\n")
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        sys.stdout.write(f"{count:,} lines; tag: {tagged:.2f} s; memory of proofs: {memory / 1024:.0f} MB more\n")


if __name__ == "__main__":
    main()
