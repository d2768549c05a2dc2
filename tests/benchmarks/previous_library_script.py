"""Run and measure one operation of the previous library: `previous_library_script.py OPERATION FOLDER`.

It runs in a virtual environment where `geographer` is GeoGrapher 1.0, so it imports nothing of ours. Each function
reads its inputs and returns the function to measure, which returns the number of items that it made.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path


def make_graph(folder: Path) -> Callable[[], int]:
    """Add features and footprints to a connector, which makes its graph, and save it."""
    import geopandas

    from geographer import Connector

    vectors = geopandas.read_file(folder / "features.gpkg").set_index("vector_name")
    rasters = geopandas.read_file(folder / "footprints.gpkg").set_index("raster_name")

    def run_operation() -> int:
        connector = Connector.from_scratch(data_dir=folder / "old", task_vector_classes=["field"])
        connector.add_to_vectors(vectors)
        connector.add_to_rasters(rasters)
        connector.save()
        graph = json.loads((folder / "old" / "connector" / "graph.json").read_text())
        return sum(map(len, graph["vectors"].values()))

    return run_operation


def find_components(folder: Path) -> Callable[[], int]:
    """Find the clusters of rasters that share objects or overlap."""
    from geographer import Connector

    get_raster_clusters = import_module("geographer.utils.cluster_rasters").get_raster_clusters
    connector = Connector.from_data_dir(folder / "old")
    return lambda: len(get_raster_clusters(connector, "rasters_that_share_vectors_or_overlap"))


def make_source(folder: Path) -> Callable[[], int]:
    """Make the dataset to cut from."""
    import geopandas

    from geographer import Connector

    rasters_from_rasters_dir = import_module("geographer.utils.rasters_from_tif_dir").rasters_from_rasters_dir

    def run_operation() -> int:
        connector = Connector.from_scratch(data_dir=folder / "old", task_vector_classes=["field"])
        connector.add_to_vectors(geopandas.read_file(folder / "features.gpkg").set_index("vector_name"))
        connector.add_to_rasters(rasters_from_rasters_dir(folder / "old" / "rasters"))
        connector.save()
        return len(connector.rasters)

    return run_operation


def cut_chips(folder: Path) -> Callable[[], int]:
    """Cut chips of 256 pixels around every object."""
    cutter = import_module("geographer.cutters").get_cutter_rasters_around_every_vector(
        folder / "old", folder / "chips", "chips", mode="centered", new_raster_size=256
    )

    def run_operation() -> int:
        cutter.cut()
        return len(list((folder / "chips" / "rasters").iterdir()))

    return run_operation


def make_masks(folder: Path) -> Callable[[], int]:
    """Make class masks for the chips."""
    from geographer import Connector

    label_maker = import_module("geographer.label_makers").SegLabelMakerCategorical()
    connector = Connector.from_data_dir(folder / "chips")

    def run_operation() -> int:
        label_maker.make_labels(connector)
        return len(list((folder / "chips" / "labels").iterdir()))

    return run_operation


OPERATIONS = {
    "graph": make_graph,
    "components": find_components,
    "source": make_source,
    "cut": cut_chips,
    "masks": make_masks,
}


def main() -> None:
    """Measure the operation without imports and inputs, and print CPU seconds, wall seconds and count as JSON."""
    run_operation = OPERATIONS[sys.argv[1]](Path(sys.argv[2]))
    cpu, wall = time.process_time(), time.perf_counter()
    count = run_operation()
    print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "count": count}))


if __name__ == "__main__":
    main()
