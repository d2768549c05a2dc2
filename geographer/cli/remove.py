"""remove: features, rasters, labels, a recipe or unreadable rows."""

from geographer.cli.requests import Requests, make_request_group
from geographer.operations.remove.labels import RemoveLabels
from geographer.operations.remove.request import RemoveFeatures, RemoveRasters, RemoveRecipe
from geographer.operations.remove.unreadable import RemoveUnreadable

_REQUESTS: Requests = {
    **{"features": RemoveFeatures, "rasters": RemoveRasters, "labels": RemoveLabels, "recipe": RemoveRecipe},
    "unreadable": RemoveUnreadable,
}
remove_command = make_request_group("remove", "remove features lake-17 lake-18", _REQUESTS)
