"""materialise: write the files of virtual chips."""

from geographer.cli.requests import make_request_command
from geographer.operations.cut.materialise import MaterialiseChips

materialise_command = make_request_command("materialise", MaterialiseChips)
