"""The inline executor: run batches of work in this process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from geographer.base.executors.executor import Batch, Result
from geographer.base.executors.task_files import InputFile, list_no_files


class InlineExecutor:
    """Run in this process; each result is yielded before the next is computed."""

    slots = 1

    def run(
        self,
        function: Callable[[Batch], Iterable[Result]],
        batches: Iterable[Batch],
        *,
        inputs: Callable[[Batch], Iterable[InputFile]] = list_no_files,
        outputs: Callable[[Batch], Iterable[str | Path]] = list_no_files,
        result_type: object = None,
    ) -> Iterator[Result]:
        """See `Executor.run`."""
        for batch in batches:
            yield from function(batch)
