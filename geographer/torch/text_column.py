"""A column of texts in one buffer: a forked process shares it, because reading a text changes no reference count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import overload

import numpy as np


class TextColumn(Sequence[str]):
    """Texts, in the order in which they were given; None becomes the empty text."""

    def __init__(self, texts: Iterable[str | None]) -> None:
        encoded = [(text or "").encode(errors="surrogateescape") for text in texts]
        self._content = b"".join(encoded)
        self._ends = np.array([0, *accumulate(map(len, encoded))], np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        return self._content[self._ends[number] : self._ends[number + 1]].decode(errors="surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))
