"""Payloads of events: one typed class for each kind and version carries everything that is specific to it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from geographer.base.errors import CorruptError, UnsupportedVersionError
from geographer.base.text import format_count
from geographer.storage.events.row_tables import declare_row_table

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^./\\\s][^/\\\s]*$")]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Reasons = dict[str, Annotated[int, Meta(ge=1)]]
"""Number of objects by the reason that applies to them."""
Columns = dict[str, Annotated[str, Meta(pattern="^(BOOLEAN|BIGINT|DOUBLE|VARCHAR|DATE|TIMESTAMP)$")]]
"""Types of user columns by name."""

_LONG_TEXT: Final = 40
_LOADERS: Final[list[Callable[[], object]]] = []
_REQUEST_LOADERS: Final[list[Callable[[], object]]] = []
_CLASSES: Final[dict[tuple[str, int], type["EventPayload"]]] = {}


class Counted(NamedTuple):
    """Marks a count of a payload for the one-line summary: the noun, and what is true of the counted things."""

    noun: str
    condition: str = ""

    def format_value(self, value: int) -> str:
        """Return the count in words: `2 products failed`."""
        return f"{format_count(value, self.noun)} {self.condition}".rstrip()


class Adjective(NamedTuple):
    """Marks a count for the one-line summary that follows the number as an adjective: `3 retired`."""

    word: str

    def format_value(self, value: int) -> str:
        """Return the count in words."""
        return f"{value:,} {self.word}"


class Listed(NamedTuple):
    """Marks names, or things that have names, for the one-line summary: `classes lake, pond`."""

    noun: str

    def format_value(self, values: Sequence[Any]) -> str:
        """Return the names after their noun."""
        noun = format_count(len(values), self.noun).partition(" ")[2]
        return f"{noun} {', '.join(getattr(value, 'name', value) for value in values)}"


class Setting(NamedTuple):
    """Marks a text, such as a CRS, that the one-line summary shows unless it is long."""

    noun: str

    def format_value(self, value: str) -> str:
        """Return the text after its noun."""
        return f"{self.noun} {value}" if len(value) < _LONG_TEXT else ""


class RecipeRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recipe as an event records it."""

    name: Name
    kind: str
    parameters: dict[str, Any]


class UserColumn(NamedTuple):
    """A user column that an event adds or changes: of `feature` or `raster`; type None: the column is dropped."""

    subject: str
    name: str
    type: str | None


class Renaming(NamedTuple):
    """A new name of a `class`, `collection` or `recipe` (`subject`), which is the same thing as before."""

    subject: str
    old_name: str
    name: str


class EventPayload(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Base class of payloads. A subclass with a `kind` defines that kind; nothing else lists kinds.

    Attributes:
        kind: The past-tense fact, such as `chips_cut`.
        version: The version of the payload's schema.
        tables: The row tables that its rows may be in.
        row_tables: Row tables of text columns that only this kind has: name, key columns, other columns.
        state_sql: The SQL file that derives tables of the state from those; see `storage.state.update`.
        writes_pixels: Whether its rows describe raster files that geographer wrote or read.
        libraries: Distributions beside these whose versions can change the outcome.
        is_optional: Whether an event without rows means nothing, and is not recorded.
        schema_rules: Rules between fields that types cannot state, as a fragment of JSON Schema.
        has_request: Whether the payload records the request that led to it.
        keeps_row_order: Whether the order of its rows, not that of ids, is the order in which its objects were added.
        is_remembered: Whether recipes leave out the rasters that it removes, until they are restored.
        lists_removals: Whether its payload lists such rasters (`remembered`), and those that recipes may make again
            (`forgotten`).
        renames: Whether it gives something another name; see `iter_renamings`.
        ends_unnamed_rows: Whether unreadable rows without an id, which no row of the event can name, end with it.
        signs_tags: Whether it may have signatures of tags; see `iter_signed_tags`.
        declares_context: Whether it may say which classes are context, in `context_classes` and `learned_classes`.
        moves_classes: Whether it may give classes other names or undo that; see `iter_class_targets`.
        is_replayable: Whether its files can be made again from what the log says; see `load_request`.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    tables: ClassVar[tuple[str, ...]] = ()
    row_tables: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    state_sql: ClassVar[Path | None] = None
    writes_pixels: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ()
    is_optional: ClassVar[bool] = False
    schema_rules: ClassVar[Mapping[str, Any]] = {}
    has_request: ClassVar[bool] = True
    keeps_row_order: ClassVar[bool] = False
    is_remembered: ClassVar[bool] = False
    lists_removals: ClassVar[bool] = False
    renames: ClassVar[bool] = False
    ends_unnamed_rows: ClassVar[bool] = False
    signs_tags: ClassVar[bool] = False
    declares_context: ClassVar[bool] = False
    moves_classes: ClassVar[bool] = False
    is_replayable: ClassVar[bool] = False

    request: dict[str, Any] | UnsetType = UNSET
    software: dict[str, str] | UnsetType = UNSET

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in cls.__dict__:
            _CLASSES[cls.kind, cls.version] = cls
            for table in cls.row_tables:
                declare_row_table(*table)

    @classmethod
    def find_current(cls) -> type["EventPayload"]:
        """Return the class of the current version of the kind."""
        return find_payload_class(cls.kind, max(version for kind, version in _CLASSES if kind == cls.kind))

    def to_json(self) -> dict[str, Any]:
        """Return the payload as JSON."""
        result: dict[str, Any] = msgspec.to_builtins(self)
        return result

    def list_summary(self) -> dict[str, Any]:
        """Return the payload without the request, the software and the columns: what a change reports."""
        return {key: value for key, value in self.to_json().items() if key not in ("request", "software", "columns")}

    def to_current_version(self) -> "EventPayload":
        """Return the payload as the current version of its kind has it."""
        return self

    def iter_user_columns(self) -> Iterator[UserColumn]:
        """Yield the user columns that the event adds, changes or drops."""
        yield from ()

    def iter_recipes(self) -> Iterator[RecipeRecord]:
        """Yield the recipes that the event records."""
        yield from ()

    def load_request(self) -> Any:
        """Return the request that led to an event which `is_replayable`; its plan is a `ReplayablePlan`."""
        raise NotImplementedError

    @property
    def recorded_tag(self) -> Any:
        """The tag that the event records, as `state.facts.TagFact` has it."""
        return None

    def iter_merged_tags(self) -> Iterator[Any]:
        """Yield the tags that the event brings from another branch; they are as `recorded_tag`."""
        yield from ()

    def iter_signed_tags(self) -> Iterator[Any]:
        """Yield the signatures of tags that the event records, as `events.signed_tag.SignedTag`."""
        yield from ()

    def iter_renamings(self) -> Iterator[Renaming]:
        """Yield what the event renames; its rows say nothing else of the objects that have the name."""
        yield from ()

    def iter_class_targets(self) -> Iterator[tuple[str, str | None]]:
        """Yield classes that the event names, combines or drops, with the classes that they become."""
        yield from ()

    @property
    def reverted_digest(self) -> str | None:
        """The digest of the event that the event undoes."""
        return None

    def find_recipe_order(self, name: str, /) -> tuple[int, str, int] | None:
        """Return the place of a recipe from another branch: generation and digest of its first event, place there."""
        return None

    @property
    def removed_recipe(self) -> str | None:
        """The name of the recipe that the event removes."""
        return None

    def iter_removed_recipes(self) -> Iterator[str]:
        """Yield the names of the recipes that the event removes."""
        yield from () if self.removed_recipe is None else (self.removed_recipe,)

    @property
    def is_empty(self) -> bool:
        """Whether the payload, beside the rows, says nothing that changes the dataset."""
        return True

    @property
    def is_incomplete(self) -> bool:
        """Whether a part failed that a later run may complete."""
        return False

    def iter_phrases(self) -> Iterator[str]:
        """Yield the parts of the one-line summary: by default, the marked values, unless they are 0 or empty."""
        for field in msgspec.structs.fields(type(self)):
            value = getattr(self, field.name)
            for mark in getattr(field.type, "__metadata__", ()):
                if value and isinstance(mark, Counted | Adjective | Listed | Setting):
                    yield mark.format_value(value)

    def format_summary(self) -> str:
        """Return the one-line summary."""
        return ", ".join(filter(None, self.iter_phrases()))


def add_class_loader(loader: Callable[[], object]) -> None:
    """Let `loader` import the classes of payloads when one is first needed."""
    _LOADERS.append(loader)


def load_payload_classes() -> None:
    """Import the classes of all kinds."""
    while _LOADERS:
        _LOADERS.pop()()


def add_request_loader(loader: Callable[[], object]) -> None:
    """Let `loader` import the classes of requests, recipes among them, when one is first needed by its name."""
    _REQUEST_LOADERS.append(loader)


def load_request_classes() -> None:
    """Import the classes of all requests."""
    while _REQUEST_LOADERS:
        _REQUEST_LOADERS.pop()()


def find_payload_class(kind: str, version: int) -> type[EventPayload]:
    """Return the class of a kind and version; `UnsupportedVersionError` if a newer geographer has it."""
    load_payload_classes()
    if payload_class := _CLASSES.get((kind, version)):
        return payload_class
    event = f"an event is a '{kind}' of version {version}"
    raise UnsupportedVersionError(f"{event}, which this version of geographer does not know. Upgrade geographer.")


def list_payload_classes() -> list[type[EventPayload]]:
    """Return the classes of all kinds and versions, by kind and version."""
    load_payload_classes()
    return [_CLASSES[key] for key in sorted(_CLASSES)]


def list_state_sql(tables: Collection[str]) -> list[Path]:
    """Return the SQL files that derive tables of the state for one kind of event, of the kinds that are imported.

    A kind with row tables that only it has counts if `tables`, those of the log, have them: it was recorded then.
    """
    classes = [cls for _, cls in sorted(_CLASSES.items(), key=lambda item: item[0])]
    return [cls.state_sql for cls in classes if cls.state_sql and all(name in tables for name, *_ in cls.row_tables)]


def parse_payload(kind: str, version: int, content: Mapping[str, Any]) -> EventPayload:
    """Return the payload of an event as the current version of its kind.

    Raises:
        UnsupportedVersionError: a newer version of geographer recorded the event.
        CorruptError: the payload is not what its class declares.
    """
    if not isinstance(content, Mapping):
        raise CorruptError(f"the payload of a '{kind}' event is not a JSON object. Run geographer verify.")
    try:
        return msgspec.convert(dict(content), find_payload_class(kind, version)).to_current_version()
    except msgspec.ValidationError as error:
        raise CorruptError(f"the payload of a '{kind}' event is invalid: {error}. Run geographer verify.") from error
