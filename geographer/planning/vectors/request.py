"""Vector requests: the parameters of requests that read vector data."""

from pathlib import Path
from typing import Annotated, Any, Final

from geographer.base.parameters import Parameter
from geographer.planning.shared_parameters import TEXT
from geographer.storage.request import Request

_DATA_HELP: Final = "A vector file; in Python also an Arrow table with a GeoArrow WKB column, or a GeoDataFrame."
LAYER: Final = Parameter(
    "The layer of a file with several.",
    *("NAME", "the first that has features"),
    records_default=False,
    schema=TEXT,
    since=2,
)
ENCODING: Final = Parameter(
    "The encoding of the file's text, such as cp1252, if the file states none or a wrong one.",
    *("NAME", "what the file states, else UTF-8"),
    records_default=False,
    schema=TEXT,
    since=2,
)


class _DataRequest(Request, frozen=True):
    data: Annotated[Any, Parameter(_DATA_HELP, "FILE", cli="argument", schema=TEXT)]


class VectorRequest(_DataRequest, kw_only=True, frozen=True):
    """A request that reads vector data; the log records the path of a file, and the type of other data."""

    layer: Annotated[str | None, LAYER] = None
    encoding: Annotated[str | None, ENCODING] = None

    def list_recorded_parameters(self) -> dict[str, Any]:
        """See `Request.list_recorded_parameters`."""
        data = str(self.data) if isinstance(self.data, str | Path) else type(self.data).__name__
        return {**super().list_recorded_parameters(), "data": data}
