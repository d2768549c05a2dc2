"""Band names: a request finds a band by the name of its file or asset, by its own name, or by its common name."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class BandNames(NamedTuple):
    """What an archive calls a band of a file: its name, such as `B02`, and its common name, such as `blue`."""

    name: str | None = None
    common_name: str | None = None


def find_band(
    requested: str, names: Sequence[Sequence[str | None]], normalise: Callable[[str], str] = str.casefold
) -> list[int]:
    """Return the indices of the candidates that a requested name means; several are for the caller to decide.

    `names` are the names of each candidate, the kinds of names in order of precedence. Equal names count first, then
    names that are equal after `normalise`; of each, the first kind that any candidate matches.
    """
    for transform in (str, normalise):
        wanted = transform(requested)
        for kind in range(max(map(len, names), default=0)):
            of_kind = [candidate[kind] if kind < len(candidate) else None for candidate in names]
            if matches := [index for index, name in enumerate(of_kind) if name and transform(name) == wanted]:
                return matches
    return []
