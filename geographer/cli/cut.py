"""cut: chips from rasters."""

from geographer.cli.requests import Requests, make_request_group
from geographer.operations.cut.around import CutAround
from geographer.operations.cut.boxes import CutBoxes
from geographer.operations.cut.cover import CutCover
from geographer.operations.cut.custom import CutCustom
from geographer.operations.cut.grid import CutGrid

_CUTS: Requests = {"around": CutAround, "grid": CutGrid, "boxes": CutBoxes, "cover": CutCover, "custom own": CutCustom}
_NOTE = "The recipe NAME makes the collection NAME, and 'geographer update' keeps it up to date."
cut_command = make_request_group("cut", "cut around chips --size 512", _CUTS, _NOTE)
