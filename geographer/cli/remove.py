"""remove: features, rasters or a recipe."""

from geographer.cli.requests import Requests, make_request_group
from geographer.operations.remove.request import RemoveFeatures, RemoveRasters, RemoveRecipe

_REQUESTS: Requests = {"features": RemoveFeatures, "rasters": RemoveRasters, "recipe": RemoveRecipe}
remove_command = make_request_group("remove", "remove features lake-17 lake-18", _REQUESTS)
