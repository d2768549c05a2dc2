"""`cut boxes`: chips of user-drawn boxes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

import msgspec

from geographer.base.errors import ConflictError, UsageError
from geographer.base.parameters import Parameter
from geographer.operations.cut.base import CutRecipe, PlanningContext, WindowPlan
from geographer.operations.cut.events import make_payload_rules
from geographer.planning.input_problems import InputProblem, raise_first_problem
from geographer.planning.shared_parameters import CRS
from geographer.planning.vectors.request import ENCODING, LAYER
from geographer.planning.vectors.source import VectorSource, open_vector_source
from geographer.storage.database.connection import quote_identifier
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.revision import Revision
from geographer.storage.request import RevisionOpener

if TYPE_CHECKING:
    import pyarrow as pa

_BOXES_IN_PIXELS: Final = Path(__file__).with_name("boxes_in_pixels.sql")
_INVALID_BOX: Final = Path(__file__).with_name("invalid_box.sql")
_PROBLEMS: Final = {
    "no_id": InputProblem("it has no id"),
    "no_geometry": InputProblem("it has no geometry"),
    "not_polygon": InputProblem("it is not a polygon"),
    "repeated_id": InputProblem("its id occurs more than once", ConflictError),
}
_RECORDED_BOXES: Final = (
    "SELECT * EXCLUDE (position, ordinal, row_digest) FROM chain_recipe_input WHERE recipe = $name AND subject = 'box' "
    "AND position <= getvariable('position') QUALIFY position = max(position) OVER () ORDER BY ordinal"
)


@dataclass(frozen=True, slots=True)
class RecordedBoxes:
    """Boxes by their digest, which is a parameter; the log keeps `rows` of `recipe_input`, read only for a request."""

    digest: str
    rows: "pa.Table | None" = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.digest[:12]


class BoxesRequest(CutRecipe, frozen=True):
    """A cut recipe that takes boxes as its second argument."""

    boxes: Annotated[
        Any,
        Parameter(
            "Polygons in a file or table, in any form that features can be added from; their bounds count.",
            *("FILE", ""),
            cli="argument",
            schema={"$ref": "event.v1.json#/$defs/digest"},
        ),
    ]


class CutBoxes(BoxesRequest, kw_only=True, frozen=True):
    """Cut the boxes in FILE, each as the smallest window of whole pixels that contains it.

    The log keeps the boxes: update cuts them from rasters that are added later.
    """

    kind: ClassVar[str] = "cut boxes"
    payload_rules: ClassVar[Mapping[str, Any]] = make_payload_rules("boxes")
    example: ClassVar[str] = "cut boxes drawn boxes.geojson --id box_id"

    id: Annotated[
        str | None,
        Parameter("The column of the boxes' ids.", "COLUMN", "box_id, else id, else the row number", key=None),
    ] = None
    crs: Annotated[str | None, CRS._replace(key=None)] = None
    layer: Annotated[str | None, LAYER._replace(key=None)] = None
    encoding: Annotated[str | None, ENCODING._replace(key=None)] = None
    target_count: Annotated[int, Parameter("From how many rasters to cut each box.", "COUNT", minimum=1)] = 1
    at_border: Annotated[
        Literal["pad", "skip"], Parameter("For rasters without the whole box: skip them, or pad the chip with nodata.")
    ] = "skip"

    @classmethod
    def from_parameters(cls, name: str, parameters: Mapping[str, Any]) -> Self:
        """See `Recipe.from_parameters`: the log records the digest of the boxes."""
        return super().from_parameters(name, {**parameters, "boxes": RecordedBoxes(parameters["boxes"])})

    def resolve_inputs(self, open_revision: RevisionOpener) -> Self:
        """See `Request.resolve_inputs`: read the boxes."""
        if isinstance(self.boxes, RecordedBoxes):
            return self
        with open_revision() as revision:
            options = {"layer": self.layer, "encoding": self.encoding}
            rows, digest = read_boxes(revision, self.name, self.boxes, self.id, self.crs, **options)
        recorded = RecordedBoxes(digest, rows)
        return msgspec.structs.replace(self, boxes=recorded, id=None, crs=None, layer=None, encoding=None)

    def restore_inputs(self, revision: Revision) -> Self:
        """See `Request.restore_inputs`: read the boxes as the log has them."""
        rows = revision.fetch_arrow(_RECORDED_BOXES, {"name": self.name})
        return msgspec.structs.replace(self, boxes=RecordedBoxes(self.boxes.digest, rows))

    def list_recorded_parameters(self) -> dict[str, Any]:
        """See `Request.list_recorded_parameters`."""
        return {**super().list_recorded_parameters(), "boxes": self.boxes.digest}

    def plan_windows(self, context: PlanningContext) -> WindowPlan:
        """See `windows.boxes.plan_boxes`."""
        from geographer.operations.cut.windows.boxes import plan_boxes

        boxes, revision = self.boxes.rows, context.revision
        if boxes is None:
            boxes = revision.fetch_arrow(_RECORDED_BOXES, {"name": self.name})
        revision.connection.register("box_rows", boxes)
        revision.connection.execute("CREATE OR REPLACE TEMP TABLE box_to_cut AS FROM box_rows")
        revision.connection.unregister("box_rows")
        candidates = revision.fetch_arrow(_BOXES_IN_PIXELS.read_text())
        planned = plan_boxes(candidates, context.rasters, boxes["object_id"].to_pylist(), self, context.accepts_window)
        is_recorded = getattr(context.recorded, "boxes", None) == self.boxes
        return WindowPlan(*planned, boxes=len(boxes), recipe_inputs=() if is_recorded else (boxes,))


def read_boxes(
    revision: Revision, recipe: str, data: Any, id_column: str | None, crs: str | None, **options: str | None
) -> "tuple[pa.Table, str]":
    """Return the boxes in `data` as rows of the log's `recipe_input`, sorted by id, and the SHA-256 of all boxes.

    Box edges are straight in the boxes' own CRS. Without an id column, row numbers from 1 are the ids. `options` are
    those of `open_vector_source`.

    Raises:
        NotFoundError: The file or column does not exist.
        UsageError: A geometry is missing, empty or not a polygon, a box has no id, or there are no boxes.
        ConflictError: Two boxes have the same id.
    """
    with open_vector_source(revision.connection, data, crs, **options) as source, source.translate_errors():
        revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE read_box AS SELECT "  # noqa: S608
            f"{_make_id_sql(source, id_column)} AS object_id, "
            f"ST_Force2D({quote_identifier(source.geometry)}::GEOMETRY) AS geometry FROM {source.relation}"
        )
        if invalid := revision.fetch_rows(_INVALID_BOX.read_text()):
            raise_first_problem("read box", source.name, invalid, _PROBLEMS)
        rows = revision.fetch_rows("SELECT object_id, ST_AsWKB(geometry)::BLOB FROM read_box ORDER BY object_id")
    if not rows:
        raise UsageError(f"'{source.name}' contains no boxes. Pass polygons.")
    digest = hashlib.sha256(source.crs.encode())
    for box_id, wkb in rows:
        digest.update(hashlib.sha256(box_id.encode()).digest() + hashlib.sha256(bytes(wkb)).digest())
    columns = {
        "recipe": [recipe] * len(rows),
        "subject": ["box"] * len(rows),
        "object_id": [box_id for box_id, _ in rows],
        "geometry": [bytes(wkb) for _, wkb in rows],
        "crs": [source.crs] * len(rows),
    }
    return make_row_table("recipe_input", columns), digest.hexdigest()


def _make_id_sql(source: VectorSource, id_column: str | None) -> str:
    default = next((name for name in ("box_id", "id") if name in source.columns), None)
    column = source.require_column(id_column) if id_column else default
    return f"{quote_identifier(column)}::VARCHAR" if column else "(row_number() OVER ())::VARCHAR"
