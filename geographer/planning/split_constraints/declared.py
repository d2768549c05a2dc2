"""The constraints that the recipe of a split declares."""

from typing import Any, Literal, NamedTuple

from geographer.planning.recipe import list_recipe_records
from geographer.planning.upcasters import Parameters, upcast_parameters
from geographer.storage.queries.revision import Revision

By = Literal["object", "overlap"]


class DeclaredConstraints(NamedTuple):
    """Which rasters a split keeps together; the defaults are those of a split that no recipe describes any more.

    Attributes:
        by: 'object': rasters that show the same feature; 'overlap': also those that share pixels.
        buffer: Also rasters within this geodesic distance in metres.
        where: Which features count, as an SQL expression; None: all.
        near_duplicates: Also rasters with nearly the same pixels, as splits found them.
    """

    by: By = "overlap"
    buffer: float = 0.0
    where: str | None = None
    near_duplicates: bool = False

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "DeclaredConstraints":
        """Return the constraints among the recorded parameters of a split."""
        values: dict[str, Any] = {name: parameters[name] for name in cls._fields if name in parameters}
        return cls(**values)


def list_declared_constraints(revision: Revision) -> dict[str, DeclaredConstraints]:
    """Return the constraints of each split that a recipe describes, by its name."""
    records = [record for record in list_recipe_records(revision) if record.kind == "split"]
    return {record.name: DeclaredConstraints.from_parameters(upcast_parameters(record)) for record in records}
