"""label: label rasters and box files on the grids of rasters."""

from geographer.cli.requests import Requests, make_request_group
from geographer.operations.label.boxes import LabelBoxes
from geographer.operations.label.custom import LabelCustom
from geographer.operations.label.masks import LabelInstances, LabelMask, LabelMultilabel
from geographer.operations.label.probabilities import LabelProbabilities

_REQUESTS: Requests = {
    "mask": LabelMask,
    "probabilities soft": LabelProbabilities,
    "instances": LabelInstances,
    "multilabel": LabelMultilabel,
    "boxes": LabelBoxes,
    "custom own": LabelCustom,
}
_EXAMPLE, _NOTE = "label mask mask --collection chips", "'geographer update' keeps them up to date."
label_command = make_request_group("label", _EXAMPLE, _REQUESTS, _NOTE)
