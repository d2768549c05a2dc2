"""restore: removed features or rasters."""

from geographer.cli.requests import Requests, make_request_group
from geographer.operations.remove.restore import RestoreFeatures, RestoreRasters

_REQUESTS: Requests = {"features": RestoreFeatures, "rasters": RestoreRasters}
restore_command = make_request_group("restore", "restore rasters chips/S2A_21S018E308N_lake-17", _REQUESTS)
