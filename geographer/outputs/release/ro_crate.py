"""The release as an RO-Crate 1.3: what each file and folder is, who made it, by which events.

Source: https://www.researchobject.org/ro-crate/specification/1.3/.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from geographer.outputs.release import sentences
from geographer.outputs.release.citation import Creators, format_reference
from geographer.outputs.release.facts import EventFacts, ReleaseFacts
from geographer.outputs.release.layout import FILE_TEXTS, FOLDER_TEXTS, RO_CRATE, Files, find_media_type

_MAX_EVENTS: Final = 1000
_URL_LETTERS: Final = ":/?#[]@!$&'()*+,;=%-._~"


def make_ro_crate(facts: ReleaseFacts, files: Files) -> dict[str, Any]:
    """Return the metadata document of the crate. Rasters, labels and items are described by folder, not one by one."""
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    creators = Creators(facts)
    crate = ROCrate()
    root = crate.root_dataset
    people = [_add_person(crate, item) for item in creators.make_json_ld()]
    url = creators.licence_url
    identifier = quote(url, safe=_URL_LETTERS) if "://" in url else _name_entity("licence", url)
    licence = crate.add(ContextEntity(crate, identifier, properties=_describe_licence(creators)))
    crate.name = sentences.make_title(facts)
    crate.description = sentences.make_summary(facts)
    crate.datePublished = facts.tag.recorded_at[:10]
    crate.license = licence
    root["author"] = root["creator"] = people if len(people) > 1 else people[0]
    root["publisher"] = people[0]
    root["version"] = facts.tag.version
    root["identifier"] = [
        _add_identifier(crate, name, digest)
        for name, digest in (("event digest", facts.tag.digest), ("content digest", facts.tag.content_digest))
    ]
    root["keywords"] = ", ".join(creators.keywords)
    root["creditText"] = format_reference(facts)
    if creators.described_url:
        root["url"] = creators.described_url
    if place := _add_place(crate, facts):
        root["spatialCoverage"] = root["contentLocation"] = place
    if facts.time_range:
        root["temporalCoverage"] = "/".join(facts.time_range)
    _add_files(crate, files)
    events = [_add_event(crate, event) for event in facts.events[-_MAX_EVENTS:]]
    root["mentions"] = events if len(events) > 1 else events[0]
    document = crate.metadata.generate()
    document["@graph"] = sorted(
        document["@graph"], key=lambda entity: (entity["@id"] not in {"./", RO_CRATE}, entity["@id"])
    )
    return dict(document)


def _describe_licence(creators: Creators) -> dict[str, str]:
    text = f"The licence of the dataset: {creators.licence_name}."
    if "://" not in creators.licence_url:
        text = "The licence of the dataset is not stated as an SPDX identifier or a URL."
    return {"@type": "CreativeWork", "name": creators.licence_name, "description": text}


def _add_identifier(crate: Any, name: str, digest: str) -> Any:
    from rocrate.model.contextentity import ContextEntity

    properties = {"@type": "PropertyValue", "name": name, "propertyID": "SHA-256", "value": digest}
    return crate.add(ContextEntity(crate, f"urn:sha256:{digest}", properties=properties))


def _add_person(crate: Any, item: dict[str, Any]) -> Any:
    from rocrate.model.contextentity import ContextEntity
    from rocrate.model.person import Person

    properties = {"name": item["name"]}
    person = crate.add(Person(crate, item.get("@id") or _name_entity("person", item["name"]), properties=properties))
    if affiliation := item.get("affiliation"):
        name = affiliation["name"]
        organization = {"@type": "Organization", "name": name}
        entity = ContextEntity(crate, _name_entity("organization", name), properties=organization)
        person["affiliation"] = crate.add(entity)
    return person


def _name_entity(kind: str, name: str) -> str:
    """Return the id of an entity that is described in the crate only: another for each kind and name, and an IRI."""
    return f"#{kind}-{quote(name, safe='')}"


def _add_place(crate: Any, facts: ReleaseFacts) -> Any:
    """Add the box around the features: latitude, longitude of the lower left and the upper right corner."""
    from rocrate.model.contextentity import ContextEntity

    if not (bounds := facts.spread.lonlat_bounds):
        return None
    west, south, east, north = bounds
    box = f"{south} {west} {north} {east}"
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    wkt = f"POLYGON(({', '.join(f'{x} {y}' for x, y in corners)}))"
    outline = {"@type": ["Geometry", "GeoShape"], "name": f"Box {box}", "asWKT": wkt, "box": box}
    shape = crate.add(ContextEntity(crate, "#box", properties=outline))
    place = {"@type": "Place", "name": f"Latitude, longitude {box}"}
    entity = crate.add(ContextEntity(crate, "#place", properties=place))
    entity["geo"] = shape
    return entity


def _add_files(crate: Any, files: Files) -> None:
    """Add the files at the top, and the folders with the number and size of what they hold."""
    folders: dict[str, list[int]] = {}
    for path, file in sorted(files.items()):
        folder, slash, _ = path.partition("/")
        if slash:
            folders.setdefault(folder, []).append(file.size)
            continue
        text = FILE_TEXTS.get(path, "A file of the release.")
        properties = {
            "name": path,
            "description": text,
            "encodingFormat": find_media_type(path),
            "contentSize": str(file.size),
            "sha256": file.sha256,
        }
        crate.add_file(dest_path=path, properties=properties)
    for folder, sizes in folders.items():
        text = f"{FOLDER_TEXTS.get(folder, 'A folder of the release.')} {len(sizes):,} files."
        properties = {"name": folder, "description": f"{text} MANIFEST lists them.", "contentSize": str(sum(sizes))}
        crate.add_dataset(dest_path=f"{folder}/", properties=properties)


def _add_event(crate: Any, event: EventFacts) -> Any:
    from rocrate.model.contextentity import ContextEntity

    author = _name_entity("person", event.author)
    if not crate.get(author):
        crate.add(ContextEntity(crate, author, properties={"@type": "Person", "name": event.author}))
    properties = {
        "@type": "CreateAction",
        "name": event.short_title,
        "endTime": event.recorded_at,
        "agent": {"@id": author},
        "identifier": f"urn:sha256:{event.digest}",
        **({"description": event.message} if event.message else {}),
    }
    return crate.add(ContextEntity(crate, f"#{event.entity_name}", properties=properties))
