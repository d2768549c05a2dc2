"""A dataset that runs requests, without a method for each: commands that change need no more, and import little."""

from geographer.dataset.branching import BranchingDataset
from geographer.storage.events import ChangeResult
from geographer.storage.request import Request


class ChangeableDataset(BranchingDataset):
    """A dataset that can be changed by requests."""

    def run(self, request: Request) -> ChangeResult:
        """Run a request: record what it changes as one event."""
        return self._unit_of_work.run_request(request)
