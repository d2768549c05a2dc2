"""take-in: copy rasters that are recorded in place into DVC."""

from geographer.cli.requests import make_request_command
from geographer.operations.add.take_in import TakeInRasters

take_in_command = make_request_command("take-in", TakeInRasters)
