"""Leaking pairs: each pair of samples in different subsets once, with every way in which it leaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from geographer.outputs.audit.report import show_path
from geographer.outputs.audit.samples import Sample

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

KINDS: Final = (
    ("same file", "shared pixels", None),
    ("identical file", "shared pixels", None),
    ("identical pixels", "shared pixels", None),
    ("shared object", "shared objects", None),
    ("overlap", "shared pixels", "shared_area_m2"),
    ("near duplicate", "near duplicates", "score"),
    ("too close", "distance", None),
)
"""Kinds of leaks, the strongest first: the level of each, and the name of its number in JSON."""
KIND_NAMES: Final = tuple(name for name, _, _ in KINDS)


class LeakTable:
    """The leaking pairs of an audit; a pair that leaks in several ways is one row."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        """Start without pairs; pairs are given by the numbers of samples."""
        self._samples = samples
        self._pairs: dict[int, tuple[Ints, Floats]] = {}
        self._codes: Ints | None = None

    def add_pairs(self, kind: str, pairs: Ints, values: Floats | None = None) -> None:
        """Add pairs, shape (n, 2), of one kind, and the number that goes with each, shape (n,)."""
        number = KIND_NAMES.index(kind)
        codes = self._encode_pairs(pairs)
        unique, first = np.unique(codes, return_index=True)
        numbers = np.full(len(codes), np.nan) if values is None else np.asarray(values, dtype=np.float64)
        self._pairs[number] = (unique, numbers[first])
        self._codes = None

    def __len__(self) -> int:
        return len(self._list_codes())

    def count_kinds(self) -> dict[str, int]:
        """Count the pairs of each kind; a pair is counted for its strongest kind only."""
        kinds = self._find_strongest(self._list_codes())
        return {
            name: int(count)
            for name, count in zip(KIND_NAMES, np.bincount(kinds, minlength=len(KINDS)), strict=True)
            if count
        }

    def count_pairs(self, kind: str) -> int:
        """Count the pairs that leak in this way, also those that leak in a stronger one."""
        return len(self._pairs[KIND_NAMES.index(kind)][0]) if KIND_NAMES.index(kind) in self._pairs else 0

    def list_examples(self, kind: str, limit: int = 3) -> tuple[str, ...]:
        """Return the first pairs of a kind as texts with their subsets."""
        codes = self._pairs[KIND_NAMES.index(kind)][0] if self.count_pairs(kind) else np.empty(0, np.int64)
        pairs = (self._order_pair(int(code)) for code in codes[: limit * 1_000])
        first = sorted(pairs, key=lambda pair: (_sort_key(pair[0]), _sort_key(pair[1])))[:limit]
        return tuple(
            f"{a.path} ({a.subset} and {b.subset})"
            if a.path == b.path
            else f"{a.path} ({a.subset}) and {b.path} ({b.subset})"
            for a, b in first
        )

    def iter_dicts(self) -> Iterator[dict[str, Any]]:
        """Yield the pairs for JSON: by kind, from the strongest, then by paths."""
        codes = self._list_codes()
        if not len(codes):
            return
        kinds = self._find_strongest(codes)
        ranks = self._rank_samples()
        first, second = np.divmod(codes, len(self._samples))
        low, high = np.minimum(ranks[first], ranks[second]), np.maximum(ranks[first], ranks[second])
        for row in np.lexsort((high, low, kinds)):
            yield self._describe_pair(int(codes[row]), int(kinds[row]))

    def _describe_pair(self, code: int, kind: int) -> dict[str, Any]:
        a, b = self._order_pair(code)
        name, level, _ = KINDS[kind]
        ways = [number for number in self._pairs if self._has_code(number, code)]
        record: dict[str, Any] = {
            "kind": name,
            "severity": "leak",
            "level": level,
            "a": show_path(a.path),
            "b": show_path(b.path),
            "subset_a": show_path(a.subset or ""),
            "subset_b": show_path(b.subset or ""),
            "levels": sorted({KINDS[number][1] for number in ways}),
        }
        for number in sorted(ways):
            column = KINDS[number][2]
            if column is not None:
                record[column] = self._find_value(number, code)
        if a.class_name is not None and b.class_name is not None and a.class_name != b.class_name:
            record["classes"] = [show_path(a.class_name), show_path(b.class_name)]
        return record

    def _has_code(self, number: int, code: int) -> bool:
        codes = self._pairs[number][0]
        index = int(np.searchsorted(codes, code))
        return index < len(codes) and int(codes[index]) == code

    def _find_value(self, number: int, code: int) -> float:
        codes, values = self._pairs[number]
        return round(float(values[np.searchsorted(codes, code)]), 3)

    def _list_codes(self) -> Ints:
        """Return the codes of all pairs, sorted. A near duplicate or a close pair is no second row of its pair."""
        if self._codes is None:
            parts = [codes for codes, _ in self._pairs.values()]
            self._codes = np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)
        return self._codes

    def _find_strongest(self, codes: Ints) -> Ints:
        kinds = np.full(len(codes), len(KINDS) - 1, dtype=np.int64)
        for number in sorted(self._pairs, reverse=True):
            kinds[np.searchsorted(codes, self._pairs[number][0])] = number
        return kinds

    def _encode_pairs(self, pairs: Ints) -> Ints:
        ordered = np.sort(np.asarray(pairs, dtype=np.int64).reshape(-1, 2), axis=1)
        return ordered[:, 0] * len(self._samples) + ordered[:, 1]

    def _rank_samples(self) -> Ints:
        order = sorted(range(len(self._samples)), key=lambda index: _sort_key(self._samples[index]))
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        return ranks

    def _order_pair(self, code: int) -> tuple[Sample, Sample]:
        first, second = divmod(code, len(self._samples))
        a, b = sorted((self._samples[first], self._samples[second]), key=_sort_key)
        return a, b


def _sort_key(sample: Sample) -> tuple[str, str]:
    return show_path(sample.path), sample.subset or ""
