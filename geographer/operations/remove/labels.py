"""Remove labels that were added as files, or that a command made."""

from typing import Annotated, ClassVar, Final

from geographer.base.errors import ConflictError, NotFoundError, quote_names
from geographer.base.parameters import Parameter
from geographer.operations.remove.events import LabelsRemoved
from geographer.planning.label_files import LABEL_FILES
from geographer.planning.recipe import list_recipe_records
from geographer.planning.removed_rasters import count_rows, make_dependent_removal_rows
from geographer.planning.shared_parameters import NAME_SCHEMA
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

_NAMES: Final = "SELECT DISTINCT label FROM current_label ORDER BY label"
_NAME: Final = Parameter("The label's name.", "NAME", cli="argument", schema=NAME_SCHEMA, kind="label")


class RemoveLabels(Request, frozen=True):
    """Remove all labels of a name that were added as files, or that a command made; those of chips, too.

    Earlier revisions keep them. The name can be used again. Labels that a recipe makes are removed with it: remove
    recipe.
    """

    event: ClassVar[type[LabelsRemoved]] = LabelsRemoved
    example = "remove labels mask -m 'drawn again'"

    name: Annotated[str, _NAME]

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the removal.

        Raises:
            NotFoundError: There is no such label.
            ConflictError: A recipe makes the labels.
        """
        kind = {record.name: record.kind for record in list_recipe_records(revision)}.get(self.name)
        names = [name for (name,) in revision.fetch_rows(_NAMES)]
        if kind != LABEL_FILES and self.name not in names:
            raise NotFoundError(f"no label '{self.name}'. Existing: {quote_names(names, limit=20) or 'none'}.")
        if kind not in (LABEL_FILES, None):
            raise ConflictError(
                f"the {kind} recipe '{self.name}' makes these labels, and update would make them again. Remove both: "
                f"geographer remove recipe {self.name}"
            )
        rows = make_dependent_removal_rows(revision, (), self.name)
        rows.pop("split_change", None)
        event = LabelsRemoved(labels=count_rows(rows, "label_change"), ends_recipe=kind is not None)
        return Change(event, rows)
