"""Added labels: label files that users added, which cuts take along and a remap of classes rewrites."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from geographer.base.errors import ConflictError, quote_objects
from geographer.base.values import LabelForm
from geographer.storage.log.chain import BRANCH, list_row_tables
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import duckdb

LABEL_FILES: Final = "label files"
"""The kind of their recipes, as the log records it."""
LABEL_SOURCE: Final = "label_source"
"""The log table of the users' files that labels were added from."""
_RECIPES: Final = "SELECT name, parameters FROM recipes WHERE kind = $kind ORDER BY name"

_FILE_OF_CONTENT: Final = Path(__file__).with_name("file_of_label.sql")
_LAST_FILE: Final = (
    "SELECT path, sha256, position FROM log.label_source JOIN log.chain USING (event_key) "  # noqa: S608
    f"WHERE branch = {BRANCH} AND position <= $made_at AND label = $label AND raster_id = $raster_id "
    "ORDER BY position DESC LIMIT 1"
)
_UNFIT: Final = Path(__file__).with_name("unfit_labels.sql")
_UNLABELLED: Final = (
    "SELECT count(*) FROM current_raster ANTI JOIN (FROM current_label WHERE label = $label) USING (raster_id) "
    "WHERE collection = $collection AND storage <> 'catalogue'"
)


class AddedLabel(NamedTuple):
    """A label that users added as files.

    Attributes:
        name: The name of the label, and of its recipe.
        collection: The collection of rasters that the files were added for; chips that are cut from these have it, too.
        form: 'mask', 'multilabel' or 'probabilities'; see `LabelForm`.
        ignore: The value of pixels to ignore in training; None: there are none.
    """

    name: str
    collection: str
    form: LabelForm
    ignore: int | None

    @property
    def padding_value(self) -> int:
        """The value of pixels outside of the raster."""
        return self.ignore or 0


class LabelFile(NamedTuple):
    """A user's file that a label was added from: its path as it was given, and its SHA-256.

    `position` is that of the event in the branch in use; None: a merge took it from another branch.
    """

    path: str
    sha256: str
    position: int | None


def list_added_labels(revision: Revision) -> Mapping[str, AddedLabel]:
    """Return the labels of a revision that users added as files, by name."""
    labels = {}
    for name, text in revision.fetch_rows(_RECIPES, {"kind": LABEL_FILES}):
        parameters = json.loads(text)
        labels[name] = AddedLabel(name, *(parameters[key] for key in ("collection", "form", "ignore")))
    return labels


def require_no_banded_labels(revision: Revision) -> None:
    """Raise `ConflictError` if added labels have a band for each class: a change of classes would not reach them."""
    if banded := [name for name, label in list_added_labels(revision).items() if label.form != "mask"]:
        raise ConflictError(
            f"{quote_objects('label', banded, 'has|have')} a band for each class, and nothing draws them again. "
            f"Remove them first: geographer remove labels {banded[0]}"
        )


def find_label_file(
    connection: "duckdb.DuckDBPyConnection", label: str, raster_id: str, sha256: str, made_at: int
) -> LabelFile | None:
    """Return the user's file from which a label with this content was added, or with what it was before a remap.

    `made_at` is the position of the event that gave the label its content; None: no file is recorded.
    """
    if LABEL_SOURCE not in list_row_tables(connection):
        return None
    content = {"raster_id": raster_id, "label_sha256": sha256, "branch": _read_branch(connection)}
    row = connection.execute(_FILE_OF_CONTENT.read_text(), content).fetchone()
    if row is None:
        values = {"label": label, "raster_id": raster_id, "made_at": made_at}
        row = connection.execute(_LAST_FILE, values).fetchone()
    return None if row is None else LabelFile(*row)


def _read_branch(connection: "duckdb.DuckDBPyConnection") -> str:
    (branch,) = connection.execute(f"SELECT {BRANCH}").fetchone() or ("",)
    return str(branch)


def list_unfit_labels(revision: Revision, names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the labels (name, raster id) of these names whose raster has another grid than when they were recorded."""
    return [(name, raster_id) for name, raster_id in revision.fetch_rows(_UNFIT.read_text(), {"labels": sorted(names)})]


def make_label_path(label: str, collection: str, raster_id: str, suffix: str = ".tif") -> str:
    """Return the path of a raster's label, relative to the dataset; the id of a chip begins with its recipe."""
    return f"labels/{label}/{collection}/{raster_id.rpartition('/')[2]}{suffix}"


def count_unlabelled(revision: Revision, label: str, collection: str) -> int:
    """Return the number of rasters with pixels in a collection that lack a label."""
    return int(revision.fetch_value(_UNLABELLED, {"label": label, "collection": collection}))
