"""add: features, rasters, labels, a catalogue of footprints, or classes."""

from geographer.cli.requests import Requests, make_request_group
from geographer.operations.add.catalogue import AddCatalogue
from geographer.operations.add.classes import AddClasses
from geographer.operations.add.features import AddFeatures
from geographer.operations.add.labels import AddLabels
from geographer.operations.add.rasters import AddRasters

_REQUESTS: Requests = {
    **{"features": AddFeatures, "rasters": AddRasters, "labels": AddLabels},
    **{"catalogue": AddCatalogue, "classes": AddClasses},
}
add_command = make_request_group("add", "add features lakes.gpkg --id lake_id", _REQUESTS)
