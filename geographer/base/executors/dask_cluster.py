"""The executor of a Dask cluster: connect to a scheduler by its address, and run batches on its workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geographer.base.errors import UsageError
from geographer.base.executors.inline import InlineExecutor

if TYPE_CHECKING:
    from distributed import Client


class DaskExecutor(InlineExecutor):
    """Run on the workers of a Dask cluster."""

    def __init__(self, workers: str | Client) -> None:
        raise UsageError("this version has no executor for Dask yet. Use a number of workers.")
