"""Upcasters: read what older versions recorded as the current version records it; nothing recorded is rewritten."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from geographer.storage.events.payload import RecipeRecord

Parameters = Mapping[str, Any]


def upcast_parameters(recipe: RecipeRecord) -> Parameters:
    """Return the recorded parameters of a recipe as the current version of its kind has them."""
    parameters: Parameters = recipe.parameters
    for upcast in _PARAMETER_UPCASTERS.get(recipe.kind, ()):
        parameters = upcast(parameters)
    return parameters


def upcast_tag(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 1 of `revision_tagged` had no Merkle root, version 2 no version number, version 3 no log root."""
    tag = {"merkle_root": None, "version": None, "log_root": None, "dataset": None, **payload["tag"]}
    return {**payload, "tag": tag, "signature": None, "time_stamp": None}


def upcast_feature_ids(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 1 of `features_added` recorded the column of ids in the request only, and not the default one."""
    column = payload.get("request", {}).get("id_column")
    return {**payload, "ids": {"source": "column", "column": column}}


def _upcast_bands(parameters: Parameters) -> Parameters:
    """Version 0.1.0 recorded the bands of all rasters without a pattern of raster ids."""
    bands = parameters.get("bands") or []
    return {**parameters, "bands": [["*", bands]] if bands and isinstance(bands[0], int) else bands}


def _upcast_grid_edge(parameters: Parameters) -> Parameters:
    """The first grids recorded `at_border` instead of `edge`, and `skip` instead of `drop`."""
    later = dict(parameters)
    edge = later.pop("at_border", None)
    return {**later, "edge": "drop" if edge == "skip" else edge} if edge else parameters


_CUTS: Final = ("cut around", "cut grid", "cut boxes", "cut cover", "cut own")

_PARAMETER_UPCASTERS: Final[Mapping[str, tuple[Callable[[Parameters], Parameters], ...]]] = {
    **dict.fromkeys(_CUTS, (_upcast_bands,)),
    "cut grid": (_upcast_bands, _upcast_grid_edge),
}
"""What older versions recorded otherwise, by the kind of recipe."""
