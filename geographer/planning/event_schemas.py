"""JSON Schemas of payloads, from the classes of payloads and of the requests that lead to them."""

from typing import Any, Final

import msgspec

from geographer.base.parameters import join_schema
from geographer.planning.recipe import Recipe
from geographer.planning.shared_parameters import NAME_SCHEMA
from geographer.storage.events.payload import EventPayload
from geographer.storage.request import Request, list_request_classes

Schema = dict[str, Any]

_SOFTWARE: Final = {"$ref": "event.v1.json#/$defs/software"}
_RUN_OPTIONS: Final = {"on_conflict": {"enum": ["exclude", "move"]}, "afresh": {"const": True}}


def make_payload_schema(payload_class: type[EventPayload]) -> Schema:
    """Return the JSON Schema of the payloads of one kind and version, as files in `schemas/` state it."""
    (_,), definitions = msgspec.json.schema_components([payload_class])
    schema: Schema = _inline_references(definitions.pop(payload_class.__name__), definitions)
    schema["properties"]["software"] = _SOFTWARE
    added = ["software", "request"] if payload_class.has_request else ["software"]
    schema["required"] = sorted({*schema.get("required", ()), *added})
    rules = [payload_class.schema_rules] if payload_class.schema_rules else []
    if not payload_class.has_request:
        del schema["properties"]["request"]
    elif variants := _list_variants(payload_class):
        rules.append({"oneOf": variants} if len(variants) > 1 else variants[0])
    return {**schema, "allOf": rules} if rules else schema


def _list_variants(payload_class: type[EventPayload]) -> list[Schema]:
    """Return what each class of requests that leads to the kind of event demands of the payload."""
    current, requests = payload_class.find_current(), list_request_classes()
    variants = [_make_variant(request, payload_class.version) for request in requests if request.event is current]
    return variants + [_make_variant(request, None) for request in requests if current in request.other_events]


def _make_variant(request_class: type[Request], version: int | None) -> Schema:
    """Return what a request class demands of the payload of a version; None: with all parameters."""
    if not issubclass(request_class, Recipe):
        return {"properties": {"request": request_class.make_schema(version)}}
    kind, parameters = {"const": request_class.kind}, request_class.make_schema(version)
    fields: Schema = {"name": NAME_SCHEMA, "kind": kind, "parameters": parameters}
    recipe, request = join_schema(fields, [*fields]), join_schema(fields | _RUN_OPTIONS, [*fields])
    rules = dict(request_class.payload_rules)
    return {**rules, "properties": {**rules.get("properties", {}), "recipe": recipe, "request": request}}


def _inline_references(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "$ref" in value and value["$ref"].startswith("#/$defs/"):
            return _inline_references(definitions[value["$ref"].removeprefix("#/$defs/")], definitions)
        return {key: _inline_references(inner, definitions) for key, inner in value.items()}
    return [_inline_references(item, definitions) for item in value] if isinstance(value, list) else value
