"""Added labels: label files that users added, which cuts take along and a remap of classes rewrites."""

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from geographer.storage.queries.revision import Revision

LABEL_FILES: Final = "label files"
"""The kind of their recipes, as the log records it."""
_RECIPES: Final = "SELECT name, parameters FROM recipes WHERE kind = $kind ORDER BY name"


class AddedLabel(NamedTuple):
    """A label that users added as files.

    Attributes:
        name: The name of the label, and of its recipe.
        collection: The collection of rasters that the files were added for; chips that are cut from these have it, too.
        form: 'mask', 'multilabel' or 'probabilities'; see `rasters.labels.LabelForm`.
        ignore: The value of pixels to ignore in training; None: there are none.
    """

    name: str
    collection: str
    form: str
    ignore: int | None

    @property
    def padding(self) -> int:
        """The value of pixels outside of the raster."""
        return self.ignore or 0


def list_added_labels(revision: Revision) -> Mapping[str, AddedLabel]:
    """Return the labels of a revision that users added as files, by name."""
    labels = {}
    for name, text in revision.fetch_rows(_RECIPES, {"kind": LABEL_FILES}):
        parameters = json.loads(text)
        labels[name] = AddedLabel(name, *(parameters[key] for key in ("collection", "form", "ignore")))
    return labels


def make_label_path(label: str, collection: str, raster_id: str, suffix: str = ".tif") -> str:
    """Return the path of a raster's label, relative to the dataset; the id of a chip begins with its recipe."""
    return f"labels/{label}/{collection}/{raster_id.rpartition('/')[2]}{suffix}"
