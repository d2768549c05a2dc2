"""Rename a class: it keeps its value, its features and its probabilities."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names
from geographer.base.parameters import Parameter
from geographer.operations.rename.events import ClassRenamed
from geographer.operations.rename.renamed_recipes import count_rows, describe_renaming, iter_warnings
from geographer.planning.class_values import read_class_values
from geographer.planning.label_files import require_no_banded_labels
from geographer.planning.recipe import list_recipes
from geographer.planning.shared_parameters import TEXT
from geographer.planning.user_columns import PROBABILITY_PREFIX
from geographer.storage.database.connection import run_script
from geographer.storage.events.plain_rows import PlainRows
from geographer.storage.events.row_tables import make_json_path
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

_RENAMED_FEATURES: Final = Path(__file__).with_name("renamed_features.sql")
_RELATIONS: Final = {"feature_change": "renamed_feature_row", "label_object_change": "reclassed_object_row"}
_CLASS_NAME: Final = Parameter("", cli="argument", schema={**TEXT, "minLength": 1})


class RenameClass(Request, frozen=True):
    """Give a class another name; it keeps its value, so that masks stay as they are.

    The features of the class follow, and so does the column prob_of_class_OLD. Labels whose files have names of classes
    (boxes, multilabel, probabilities) are made again by update. To combine or drop classes: classes remap.
    """

    event: ClassVar[type[ClassRenamed]] = ClassRenamed
    example = "rename class pond lake"

    old_name: Annotated[str, _CLASS_NAME._replace(help="The present name.", metavar="OLD", kind="class")]
    new_name: Annotated[str, _CLASS_NAME._replace(help="The new name.", metavar="NEW")]

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the renaming.

        Raises:
            NotFoundError: There is no such class.
            ConflictError: A class has the new name, or a column that of its probabilities; or added labels have a band
                for each class.
            UsageError: The new name is the present one, is empty or holds a credential.
        """
        values = read_class_values(revision)
        self._check_names(revision, values)
        if values[self.old_name]:
            require_no_banded_labels(revision)
        kept = [recipe.name for recipe in list_recipes(revision) if recipe.ignores_class_names]
        names: dict[str, Any] = {"old_name": self.old_name, "new_name": self.new_name, "kept_labels": kept}
        old_column, new_column = (PROBABILITY_PREFIX + name for name in (self.old_name, self.new_name))
        paths = {"old_path": make_json_path(old_column), "old_column": old_column, "new_column": new_column}
        run_script(revision.connection, _RENAMED_FEATURES.read_text(), names | paths)
        counts = count_rows(revision, _RELATIONS)
        event = ClassRenamed(
            **names,
            columns=self._rename_columns(revision),
            features=counts["feature_change"],
            warnings=list(iter_warnings(revision, "class", self.old_name)),
        )
        value = values[self.old_name]
        columns: dict[str, list[Any]] = {"class": [self.old_name, self.new_name], "value": [value, value]}
        class_rows = PlainRows("class_change", {"change": ["removed", "added"], **columns})
        rows = {table: relation for table, relation in _RELATIONS.items() if counts[table]}
        return Change(event, {"class_change": class_rows, **rows})

    def _check_names(self, revision: Revision, values: dict[str, int]) -> None:
        from geographer.base.redaction import require_no_credentials

        if self.old_name not in values:
            raise NotFoundError(
                f"no class '{self.old_name}'.{describe_renaming(revision, 'class', self.old_name)} The classes are: "
                f"{quote_names([*values], limit=20) or 'none yet'}."
            )
        if not self.new_name:
            raise UsageError("the new name of the class is empty. Give the class a name.")
        if self.new_name == self.old_name:
            raise UsageError(f"class '{self.old_name}' has that name already. Choose another name.")
        if self.new_name in values:
            raise ConflictError(
                f"a class '{self.new_name}' exists already. To combine both: geographer classes remap "
                f"'{self.old_name}={self.new_name}'"
            )
        require_no_credentials("class name", [self.new_name])

    def _rename_columns(self, revision: Revision) -> dict[str, Any]:
        """Return the column of the class's probabilities with its new name, and that the old one is no more."""
        types = revision.list_user_columns("feature")
        old_column, new_column = (PROBABILITY_PREFIX + name for name in (self.old_name, self.new_name))
        if old_column not in types:
            return {}
        if other := next((name for name in types if name.lower() == new_column.lower()), None):
            raise ConflictError(f"the features have a column '{other}' already. Choose another name for the class.")
        return {old_column: None, new_column: types[old_column]}
