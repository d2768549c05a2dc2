"""The provenance of a release in W3C PROV: events are activities, collections entities, authors and software agents.

Source: PROV-DM and PROV-JSON, https://www.w3.org/TR/prov-overview/.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from geographer.outputs.release import sentences
from geographer.outputs.release.facts import EventFacts, ReleaseFacts

if TYPE_CHECKING:
    from prov.model import ProvDocument


def make_provenance(facts: ReleaseFacts) -> str:
    """Return the provenance as PROV-JSON.

    The entity of the revision is derived from its collections of rasters, labels and splits, and those from what their
    recipes read. The chips' own sources are in the table `chips`, which names the window of each.
    """
    document = _build_document(facts)
    return str(document.serialize(format="json", indent=2)) + "\n"


def _build_document(facts: ReleaseFacts) -> ProvDocument:
    from prov.model import PROV_LABEL, PROV_TYPE, ProvDocument

    document = ProvDocument()
    document.add_namespace("geographer", f"urn:sha256:{facts.dataset}#")
    document.add_namespace("schema", "https://schema.org/")
    revision = document.entity(
        "geographer:revision",
        {
            PROV_LABEL: f"{sentences.make_title(facts)}, tag {facts.tag.name}",
            "schema:version": facts.tag.version,
            "schema:identifier": f"urn:sha256:{facts.tag.content_digest}",
        },
    )
    for author in dict.fromkeys(event.author for event in facts.events):
        document.agent(_name_agent(author), {PROV_TYPE: "prov:Person", PROV_LABEL: author})
    for software in _iter_software(facts.events):
        document.agent(_name_agent(software), {PROV_TYPE: "prov:SoftwareAgent", PROV_LABEL: software})
    for event in facts.events:
        _add_event(document, event)
    makers = {event.recipe["name"]: event for event in facts.events if event.recipe}
    for name, text in _iter_parts(facts):
        part = document.entity(f"geographer:{name}", {PROV_LABEL: text})
        document.wasDerivedFrom(revision, part)
        maker = makers.get(name.partition("-")[2])
        if maker:
            document.wasGeneratedBy(part, _name_event(maker))
    for derived, source in _iter_derivations(facts):
        document.wasDerivedFrom(f"geographer:{derived}", f"geographer:{source}")
    document.wasGeneratedBy(revision, _name_event(facts.events[-1]))
    return document


def _add_event(document: Any, event: EventFacts) -> None:
    from prov.model import PROV_LABEL

    time = datetime.fromisoformat(event.recorded_at)
    label = event.short_title + (f": {event.message}" if event.message else "")
    attributes = {PROV_LABEL: label, "schema:identifier": f"urn:sha256:{event.digest}"}
    activity = document.activity(_name_event(event), None, time, attributes)
    document.wasAssociatedWith(activity, _name_agent(event.author))
    if version := event.software.get("geographer"):
        document.wasAssociatedWith(activity, _name_agent(f"geographer {version}"))


def _iter_software(events: list[EventFacts]) -> Iterator[str]:
    yield from dict.fromkeys(
        f"geographer {version}" for event in events if (version := event.software.get("geographer"))
    )


def _iter_parts(facts: ReleaseFacts) -> Iterator[tuple[str, str]]:
    """Yield the name of each part of the revision, and what it is."""
    yield "features", f"{facts.features:,} features"
    for item in facts.collections:
        yield f"rasters-{item.name}", sentences.describe_collection(item)
    for label in facts.labels:
        yield f"labels-{label.name}", sentences.describe_labels(label)
    for split in facts.list_splits():
        yield f"split-{split}", sentences.describe_split(facts, split)


def _iter_derivations(facts: ReleaseFacts) -> Iterator[tuple[str, str]]:
    """Yield which part was made from which."""
    names = {item.name for item in facts.collections}
    for item in facts.collections:
        for parent in item.parents:
            yield f"rasters-{item.name}", f"rasters-{parent}"
    for label in facts.labels:
        yield f"labels-{label.name}", "features"
        for collection in label.collections:
            yield f"labels-{label.name}", f"rasters-{collection}"
    splits = set(facts.list_splits())
    for name, kind, parameters in facts.recipes:
        if kind == "split" and name in splits and parameters.get("collection") in names:
            yield f"split-{name}", f"rasters-{parameters['collection']}"


def _name_event(event: EventFacts) -> str:
    return f"geographer:{event.entity_name}"


def _name_agent(name: str) -> str:
    return "geographer:agent-" + "".join(letter if letter.isalnum() else f"_{ord(letter):x}_" for letter in name)
