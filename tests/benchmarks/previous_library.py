"""Runs in the previous library's own virtual environment: `previous_library.py WORK FOLDER`; prints what it spent.

It must not import anything of ours: there, `geographer` is GeoGrapher 1.0.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def graph(folder: Path) -> Callable[[], Any]:
    """Features and footprints into a connector, which makes its graph, and onto the disk."""
    import geopandas

    from geographer import Connector

    vectors = geopandas.read_file(folder / "features.gpkg").set_index("vector_name")
    rasters = geopandas.read_file(folder / "footprints.gpkg").set_index("raster_name")

    def work() -> int:
        connector = Connector.from_scratch(data_dir=folder / "old", task_vector_classes=["field"])
        connector.add_to_vectors(vectors)
        connector.add_to_rasters(rasters)
        connector.save()
        found = json.loads((folder / "old" / "connector" / "graph.json").read_text())
        return sum(map(len, found["vectors"].values()))

    return work


def components(folder: Path) -> Callable[[], Any]:
    """The clusters of rasters that share objects or overlap."""
    from geographer.utils.cluster_rasters import get_raster_clusters

    from geographer import Connector

    connector = Connector.from_data_dir(folder / "old")
    return lambda: len(get_raster_clusters(connector, "rasters_that_share_vectors_or_overlap"))


def source(folder: Path) -> Callable[[], Any]:
    """The dataset to cut from."""
    import geopandas
    from geographer.utils.rasters_from_tif_dir import rasters_from_rasters_dir

    from geographer import Connector

    def work() -> int:
        connector = Connector.from_scratch(data_dir=folder / "old", task_vector_classes=["field"])
        connector.add_to_vectors(geopandas.read_file(folder / "features.gpkg").set_index("vector_name"))
        connector.add_to_rasters(rasters_from_rasters_dir(folder / "old" / "rasters"))
        connector.save()
        return len(connector.rasters)

    return work


def cut(folder: Path) -> Callable[[], Any]:
    """Chips of 256 pixels around every object."""
    from geographer.cutters import get_cutter_rasters_around_every_vector

    cutter = get_cutter_rasters_around_every_vector(
        folder / "old", folder / "chips", "chips", mode="centered", new_raster_size=256
    )

    def work() -> int:
        cutter.cut()
        return len(list((folder / "chips" / "rasters").iterdir()))

    return work


def masks(folder: Path) -> Callable[[], Any]:
    """Class masks for the chips."""
    from geographer.label_makers import SegLabelMakerCategorical

    from geographer import Connector

    connector = Connector.from_data_dir(folder / "chips")

    def work() -> int:
        SegLabelMakerCategorical().make_labels(connector)
        return len(list((folder / "chips" / "labels").iterdir()))

    return work


def main() -> None:
    """The work alone is measured, not the imports, nor what it reads first."""
    work = {function.__name__: function for function in (graph, components, source, cut, masks)}[sys.argv[1]]
    ready = work(Path(sys.argv[2]))
    cpu, wall = time.process_time(), time.perf_counter()
    made = ready()
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "made": made}
    print(json.dumps(spent))


if __name__ == "__main__":
    main()
