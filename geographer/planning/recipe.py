"""Recipes: named requests that the log keeps and that `update` runs again."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import msgspec

from geographer.base.errors import ConflictError, NotFoundError, UnsupportedVersionError, UsageError, quote_names
from geographer.base.executors.executor import Workers, check_workers
from geographer.base.parameters import Parameter, list_parameters, to_json_value
from geographer.base.plugins import PluginRef
from geographer.base.values import Size
from geographer.planning.upcasters import upcast_parameters
from geographer.storage.events.payload import RecipeRecord, load_request_classes
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Request

OnConflict = Literal["exclude", "move"]

RECIPE_CLASSES: Final[dict[str, type["Recipe"]]] = {}
"""The classes of recipes by kind."""

WORKERS: Final = Parameter(
    "How many processes of this machine work at the same time.",
    *("COUNT", "as many as cores and memory allow"),
    convert=check_workers,
    key=None,
)

ON_CONFLICT: Final = Parameter(
    "If new features connect rasters of two parts: leave their chips unassigned, or move the smaller side.",
    default="refuse to assign",
    key=None,
)
REBUILD_COVERS: Final = Parameter(
    "Replace the chips of covers by the fewest possible, instead of adding the fewest that are missing.",
    flags="--rebuild-covers --afresh",
    key=None,
)


class NamedRequest(Request, frozen=True):
    """A request for something that has a name."""

    name: Annotated[str, Parameter("The recipe's name.", "NAME", key=None, cli="argument", kind="recipe")]


class Recipe(NamedRequest, kw_only=True, frozen=True):
    """A named request that the log keeps, and that `update` runs again: cut, label, split or download.

    Attributes:
        kind: The recipe's kind, as the log records it.
        makes_chips: Whether it cuts chips, which form the collection of its name.
        payload_rules: What the payload of its events must and must not have, as a fragment of JSON Schema.
    """

    kind: ClassVar[str]
    payload_rules: ClassVar[Mapping[str, Any]] = {}
    makes_chips: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in cls.__dict__:
            RECIPE_CLASSES[cls.kind] = cls

    replace: Annotated[
        bool, Parameter("Change the recipe of this name; what the new parameters give, too, is kept.", key=None)
    ] = False
    workers: Annotated[Workers, WORKERS] = 1
    # Options of a run, which every recipe takes from `update`; only splits and covers heed them.
    on_conflict: Annotated[OnConflict | None, ON_CONFLICT._replace(cli="none")] = None
    rebuild_covers: Annotated[bool, REBUILD_COVERS._replace(cli="none")] = False

    @classmethod
    def from_parameters(cls, name: str, parameters: Mapping[str, Any]) -> Self:
        """Return the recipe with these parameters, as the current version records them."""
        names = {parameter.log_key or parameter.name: parameter.name for parameter in list_parameters(cls)}
        if unknown := parameters.keys() - names.keys():
            raise make_version_error(name, f"parameters {quote_names(sorted(unknown))}")
        return cls(name=name, **{names[key]: value for key, value in parameters.items()})

    @property
    def made_collection(self) -> str | None:
        """The collection that its rasters join."""
        return self.name if self.makes_chips else None

    @property
    def ignores_class_names(self) -> bool:
        """Whether the files that it makes stay as they are if a class gets another name."""
        return False

    @property
    def max_workers(self) -> Workers:
        """See `Request.max_workers`."""
        return self.workers

    def to_record(self) -> RecipeRecord:
        """Return the recipe as an event records it."""
        return RecipeRecord(self.name, self.kind, self.list_recorded_parameters())

    def to_json(self) -> dict[str, Any]:
        """Return the request as the log records it; run options only if they are set."""
        options = {"on_conflict": self.on_conflict, "afresh": self.rebuild_covers}
        record: dict[str, Any] = msgspec.to_builtins(self.to_record())
        return {**record, **{name: value for name, value in options.items() if value}}

    def check_revision(self, revision: Revision, /) -> bool:
        """Return whether the recipe is new or changed.

        Raises:
            ConflictError: the name belongs to another recipe and is not to be replaced, or to a collection.
            NotFoundError: the recipe to replace does not exist.
            UsageError: a parameter holds a credential.
        """
        recorded = find_recipe(revision, self.name)
        if recorded is None:
            query = "SELECT 1 FROM current_raster WHERE collection = $name LIMIT 1"
            if revision.fetch_value(query, {"name": self.name}):
                raise ConflictError(f"a collection '{self.name}' exists already. Choose another name for the recipe.")
            if self.replace:
                raise NotFoundError(f"no recipe '{self.name}' to replace. Leave out --replace.")
            return self._require_recordable()
        if recorded.has_same_parameters(self):
            return False
        if self.replace and recorded.event is self.event:
            return self._require_recordable()
        if self.replace:
            raise ConflictError(
                f"recipe '{self.name}' is a {recorded.kind} recipe, which a {self.kind} recipe cannot replace. Choose "
                "another name."
            )
        raise ConflictError(
            f"recipe '{self.name}' exists as a {recorded.kind} recipe{recorded.describe_differences(self)}. Choose "
            "another name, pass --replace to change the recipe, run geographer update for that recipe, or remove it "
            "with geographer remove recipe (--keep keeps its outputs)."
        )

    def _require_recordable(self) -> bool:
        """Return True; `UsageError` if the log, which keeps no credentials, would change a parameter."""
        from geographer.base.redaction import redact_text

        for item in list_parameters(type(self)):
            text = json.dumps(to_json_value(getattr(self, item.name)), ensure_ascii=False, default=str)
            if item.log_key is not None and redact_text(text) != text:
                raise UsageError(
                    f"{item.main_flag} of recipe '{self.name}' holds a credential, or a URL with a query or fragment. "
                    "The log keeps neither, so update could not run the recipe again. Leave it out."
                )
        return True

    def is_changed(self, revision: Revision) -> bool:
        """Return whether the recipe is new at a revision, or replaces one with other parameters."""
        recorded = find_recipe(revision, self.name)
        return recorded is None or not recorded.has_same_parameters(self)

    def has_same_parameters(self, other: "Recipe") -> bool:
        """Return whether another recipe has the same kind and parameters; versions of plugins do not count."""
        return other.kind == self.kind and other._list_comparable_parameters() == self._list_comparable_parameters()

    def _list_comparable_parameters(self) -> Mapping[str, Any]:
        values = ((item.log_key, getattr(self, item.name)) for item in list_parameters(type(self)))
        plugins = {key: value.name for key, value in values if key and isinstance(value, PluginRef)}
        return {**self.list_recorded_parameters(), **plugins}

    def describe_differences(self, other: "Recipe") -> str:
        """Return the options in which another recipe of the same kind differs, with the values here."""
        if other.kind != self.kind:
            return ""
        here, there = self.list_recorded_parameters(), other.list_recorded_parameters()
        recorded = {key: item for item in list_parameters(type(self)) if (key := item.log_key) is not None}
        changed = [item for key, item in recorded.items() if here.get(key) != there.get(key)]
        return f" with {', '.join(f'{item.main_flag} {_format_value(getattr(self, item.name))}' for item in changed)}"


def _format_value(value: Any) -> str:
    """Return the value of a parameter about as users write it."""
    if value is None or value in ((), "", {}):
        return "none"
    if isinstance(value, Size):
        return f"{value.width:g}x{value.height:g}{value.unit}"
    if isinstance(value, PluginRef):
        return value.name
    if isinstance(value, Mapping):
        value = tuple(value.items())
    if isinstance(value, tuple) and all(isinstance(item, tuple) for item in value):
        return ",".join(f"{name}={_format_value(item)}" for name, item in value)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def make_version_error(name: str, what: str) -> UnsupportedVersionError:
    """Return the error for a recipe of a newer version."""
    return UnsupportedVersionError(
        f"recipe '{name}' has the {what}, which this version of geographer does not know. Upgrade geographer."
    )


def load_recipe(record: RecipeRecord) -> Recipe:
    """Return the recipe that the log records, whichever version recorded it."""
    recipe_class = find_recipe_class(record.kind)
    if recipe_class is None:
        raise make_version_error(record.name, f"kind '{record.kind}'")
    parameters = {name: _lists_to_tuples(value) for name, value in upcast_parameters(record).items()}
    return recipe_class.from_parameters(record.name, parameters)


def find_recipe_class(kind: str) -> type[Recipe] | None:
    """Return the class of a kind of recipes; None if this version does not know it."""
    if kind not in RECIPE_CLASSES:
        load_request_classes()
    return RECIPE_CLASSES.get(kind)


def find_recipe(revision: Revision, name: str) -> Recipe | None:
    """Return the recipe of this name at a revision, if there is one."""
    return next((recipe for recipe in list_recipes(revision) if recipe.name == name), None)


def list_recipes(revision: Revision) -> list[Recipe]:
    """Return the recipes at a revision, in the order in which they were created."""
    return [load_recipe(record) for record in list_recipe_records(revision)]


def list_recipe_records(revision: Revision) -> list[RecipeRecord]:
    """Return the recipes at a revision as they were recorded."""
    rows = revision.fetch_rows("SELECT name, kind, parameters FROM recipes")
    return [RecipeRecord(name, kind, json.loads(parameters)) for name, kind, parameters in rows]


def _lists_to_tuples(value: Any) -> Any:
    return tuple(_lists_to_tuples(item) for item in value) if isinstance(value, list) else value
