"""Set and remove attributes: named JSON values that users keep with the dataset. The content stays as it is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.base.parameters import Parameter
from geographer.planning.attributes import ATTRIBUTES_EVENT, read_attributes, require_attributes
from geographer.planning.shared_parameters import OBJECT_SCHEMA, TEXTS, list_values
from geographer.storage.events.payload import EventPayload
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

_Name = Annotated[str, Meta(min_length=1)]


class AttributesChanged(EventPayload, kw_only=True, frozen=True):
    """Attributes of the dataset were set or removed; `attributes` has the new values by name."""

    kind: ClassVar[str] = ATTRIBUTES_EVENT
    has_request: ClassVar[bool] = False
    is_optional: ClassVar[bool] = True

    attributes: dict[_Name, Any]
    removed: list[_Name]

    @property
    def is_empty(self) -> bool:
        """See `EventPayload.is_empty`."""
        return not self.attributes and not self.removed

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        if self.attributes:
            yield f"set {', '.join(sorted(self.attributes))}"
        if self.removed:
            yield f"removed {', '.join(self.removed)}"


def parse_attributes(attributes: Any) -> dict[str, Any]:
    """Return attributes by name, from a mapping, or from texts `NAME=VALUE`, of which VALUE is JSON or else a text."""
    if isinstance(attributes, Mapping):
        return require_attributes(attributes)
    values: dict[str, Any] = {}
    for text in list_values(attributes):
        name, equals, value = text.partition("=")
        if not name or not equals or name in values:
            raise UsageError(f"invalid or repeated attribute '{name}'. Use NAME=VALUE, each name once.")
        values[name] = _parse_value(value)
    return require_attributes(values)


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


class SetAttributes(Request, frozen=True):
    """Set attributes of the dataset: named values that users keep with it, such as the sensor.

    VALUE is JSON, or else a text: resolution=10 is a number, bands='["red", "nir"]' a list, sensor=Sentinel-2 a text.
    An attribute that exists gets the new value; earlier revisions keep the old one. Attributes are no part of the
    content digest, and credentials are refused.
    """

    event: ClassVar[type[AttributesChanged]] = AttributesChanged
    example = "attributes set sensor=Sentinel-2 resolution=10"

    attributes: Annotated[
        Mapping[str, Any] | Sequence[str],
        Parameter(
            "The attributes by name.",
            "NAME=VALUE...",
            cli="arguments",
            convert=parse_attributes,
            schema=OBJECT_SCHEMA,
        ),
    ]

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the event, with the values that change; `UsageError` if none is given."""
        if not self.attributes:
            raise UsageError("no attribute to set. Use NAME=VALUE.")
        known = read_attributes(revision)
        given = dict(self.attributes) if isinstance(self.attributes, Mapping) else parse_attributes(self.attributes)
        # As JSON, since 1 == True in Python.
        texts = {name: canonical_json(value) for name, value in known.items()}
        changed = {name: value for name, value in sorted(given.items()) if texts.get(name) != canonical_json(value)}
        return Change(AttributesChanged(attributes=changed, removed=[]))


class RemoveAttributes(Request, frozen=True):
    """Remove attributes of the dataset; earlier revisions keep them."""

    event: ClassVar[type[AttributesChanged]] = AttributesChanged
    example = "attributes remove resolution"

    names: Annotated[
        Sequence[str],
        Parameter(
            "The names of the attributes.",
            "NAME...",
            cli="arguments",
            convert=list_values,
            schema=TEXTS,
            kind="attribute",
        ),
    ]

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the event; `NotFoundError` if there is no such attribute, `UsageError` if none is given."""
        if not self.names:
            raise UsageError("no attribute to remove. Name at least one.")
        known = read_attributes(revision)
        if unknown := [name for name in self.names if name not in known]:
            names = quote_names([*known]) if known else "none yet"
            raise NotFoundError(f"no attribute {quote_names(unknown)}. The attributes are: {names}.")
        return Change(AttributesChanged(attributes={}, removed=sorted(set(self.names))))
