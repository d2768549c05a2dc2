"""The dataset in Croissant 1.1 (JSON-LD) with GeoCroissant 1.0 and properties of Responsible AI, measured from the log.

Sources: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html, croissant-geo-spec.html and
croissant-rai-spec.html there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from types import MappingProxyType
from typing import Any, Final

from geographer.outputs.release import sentences
from geographer.outputs.release.citation import Creators, format_reference
from geographer.outputs.release.facts import CollectionFacts, ReleaseFacts
from geographer.outputs.release.layout import LABELS, RASTERS, TABLES, FileFacts, Files, find_media_type
from geographer.planning.label_files import LABEL_FILES

CORE: Final = "http://mlcommons.org/croissant/1.1"
GEO: Final = "http://mlcommons.org/croissant/geo/1.0"
RAI: Final = "http://mlcommons.org/croissant/RAI/1.0"
NEURIPS_PROPERTIES: Final = (
    "rai:dataLimitations",
    "rai:dataBiases",
    "rai:personalSensitiveInformation",
    "rai:dataUseCases",
    "rai:dataSocialImpact",
    "rai:hasSyntheticData",
    "prov:wasDerivedFrom",
    "prov:wasGeneratedBy",
)
"""What the NeurIPS 2026 Evaluations and Datasets track requires beside the core."""

_PREFIXES: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "geocr": "http://mlcommons.org/croissant/geo/",
    "prov": "http://www.w3.org/ns/prov#",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
_CORE_TERMS: Final = (
    "annotation arrayShape citeAs column containedIn equivalentProperty excludes extract field fileProperty fileObject "
    "fileSet format includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex "
    "readLines repeated replace samplingRate sdVersion separator source subField transform unArchive value"
)
_TYPES: Final = {
    "BOOLEAN": "sc:Boolean",
    "BIGINT": "sc:Integer",
    "INTEGER": "sc:Integer",
    "DOUBLE": "sc:Float",
    "VARCHAR": "sc:Text",
    "DATE": "sc:Date",
    "TIMESTAMP": "sc:DateTime",
}
_KEYS: Final = {
    "features": "feature_id",
    "rasters": "raster_id",
    "chips": "raster_id",
    "classes": "class",
    "parts": "name",
}
"""The column of a table that names its rows."""
_REFERENCES: Final = {
    ("edges", "feature_id"): "features",
    ("edges", "raster_id"): "rasters",
    ("chips", "raster_id"): "rasters",
    ("labels", "raster_id"): "rasters",
    ("objects", "feature_id"): "features",
    ("objects", "raster_id"): "rasters",
    ("splits", "raster_id"): "rasters",
    ("splits", "part"): "parts",
}
_NAMESPACE: Final = "http://mlcommons.org/croissant/"
_SPLITS: Final = {
    "train": f"{_NAMESPACE}TrainingSplit",
    "val": f"{_NAMESPACE}ValidationSplit",
    "test": f"{_NAMESPACE}TestSplit",
}
Bands = Mapping[str, list[str]]
"""The names of the bands of a collection of rasters."""


def make_croissant(
    facts: ReleaseFacts,
    files: Files,
    columns: Mapping[str, Mapping[str, str]],
    bands: Bands,
    base_url: str = "",
    archives: Files = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the Croissant document.

    Args:
        facts: The facts.
        files: The files that are in the release.
        columns: The types, in SQL, of the columns of each table.
        bands: The names of the bands of each collection.
        base_url: What precedes the path of a file in its URL, for a document that is read elsewhere.
        archives: The archives that hold the folders, if the release has archives.
    """
    creators = Creators(facts)
    document = {
        "@context": {**_PREFIXES, **{term: f"cr:{term}" for term in _CORE_TERMS.split()}},
        "@type": "sc:Dataset",
        "conformsTo": [CORE, GEO, RAI],
        "name": sentences.make_title(facts),
        "description": sentences.make_summary(facts),
        "license": creators.licence_url,
        "url": creators.page_url,
        "creator": creators.make_json_ld(),
        "publisher": creators.make_json_ld(),
        "datePublished": facts.tag.recorded_at[:10],
        "dateCreated": facts.events[0].recorded_at[:10],
        "version": facts.tag.semantic_version,
        "identifier": f"urn:sha256:{facts.tag.digest}",
        "citeAs": format_reference(facts),
        "keywords": creators.keywords,
        "isLiveDataset": False,
        "inLanguage": "en",
        **_make_coverage(facts),
        **_make_geo(facts, bands),
        **_make_responsible_ai(facts),
        **_make_provenance(facts),
        "distribution": [*_iter_distribution(facts, files, base_url, archives)],
        "recordSet": [*_iter_record_sets(facts, files, columns)],
    }
    return {name: value for name, value in document.items() if value not in (None, [], {})}


def _make_coverage(facts: ReleaseFacts) -> dict[str, Any]:
    """Return where and when: a box as latitude, longitude of the lower left and the upper right corner."""
    coverage: dict[str, Any] = {}
    if bounds := facts.spread.lonlat_bounds:
        west, south, east, north = bounds
        shape = {"@type": "GeoShape", "box": f"{south} {west} {north} {east}"}
        coverage["spatialCoverage"] = {"@type": "Place", "geo": shape}
    if times := facts.time_range:
        coverage["temporalCoverage"] = "/".join(times)
    return coverage


def _make_geo(facts: ReleaseFacts, bands: Bands) -> dict[str, Any]:
    pixels = [item for item in facts.collections if item.files]
    systems = {crs for item in pixels for crs in item.crs}
    shown = next((item for item in pixels if item.chips), pixels[0] if pixels else None)
    resolution = shown.resolution if shown else None
    return {
        "geocr:coordinateReferenceSystem": systems.pop() if len(systems) == 1 else "EPSG:4326",
        "geocr:spatialResolution": _make_quantity(resolution, "m") if resolution else None,
        "geocr:bandConfiguration": _make_bands(bands.get(shown.name, [])) if shown else None,
        "geocr:samplingStrategy": sentences.describe_sampling(facts),
        "geocr:spatialBias": sentences.describe_spatial_bias(facts),
    }


def _make_quantity(value: float, unit: str) -> dict[str, Any]:
    """Return a quantity; the context of Croissant 1.1 reads `value` as `cr:value`, so schema.org's is given, too."""
    return {"@type": "QuantitativeValue", "value": value, "sc:value": value, "unitText": unit}


def _make_bands(names: list[str]) -> dict[str, Any] | None:
    """Return the number and names of bands. The specification says bandNameList, its vocabulary bandNamesList."""
    if not names:
        return None
    listed = {"geocr:bandNameList": names, "geocr:bandNamesList": names}
    return {"@type": "geocr:BandConfiguration", "geocr:totalBands": len(names), **listed}


def _make_responsible_ai(facts: ReleaseFacts) -> dict[str, Any]:
    """Return the properties of Responsible AI; those of intent and ethics are the authors' words."""
    ethics = facts.description.find_text("ethics")
    biases = [sentences.describe_balance(facts), sentences.describe_spatial_bias(facts)]
    has_drawn_labels = any(label.kind != LABEL_FILES for label in facts.labels)
    return {
        "rai:dataCollection": sentences.describe_collection_process(facts),
        "rai:dataCollectionType": ["Secondary Data analysis", "Software Collection"],
        "rai:dataCollectionMissingData": sentences.describe_missing_data(facts),
        "rai:dataCollectionRawData": " ".join(
            sentences.describe_collection(item) for item in facts.collections if item.is_source
        ),
        "rai:dataCollectionTimeframe": [*facts.time_range] if facts.time_range else None,
        "rai:dataPreprocessingProtocol": [sentences.describe_sampling(facts)],
        "rai:dataAnnotationProtocol": " ".join(map(sentences.describe_labels, facts.labels)) or None,
        "rai:machineAnnotationTools": [f"geographer {sentences.describe_software(facts)}"]
        if has_drawn_labels
        else None,
        "rai:dataReleaseMaintenancePlan": [
            "Releases are tags of an append-only log; a later release names what differs (geographer diff)."
        ],
        "rai:dataLimitations": sentences.list_limits(facts) or ["None that the data show."],
        "rai:dataBiases": biases,
        "rai:dataUseCases": [facts.description.find_text("intent")],
        "rai:personalSensitiveInformation": [ethics],
        "rai:dataSocialImpact": ethics,
        "rai:hasSyntheticData": False,
    }


def _make_provenance(facts: ReleaseFacts) -> dict[str, Any]:
    licences = facts.description.fields.get("source_licences", {})
    sources = [
        {
            "@id": f"urn:sha256:{facts.tag.content_digest}#{item.name}",
            "@type": "prov:Entity",
            "prov:label": sentences.describe_collection(item),
            **({"sc:license": sentences.join_words(found)} if (found := list_licences(item, licences)) else {}),
        }
        for item in facts.collections
        if item.is_source
    ]
    first, last = facts.events[0], facts.events[-1]
    activity = {
        "@type": "prov:Activity",
        "prov:label": sentences.describe_collection_process(facts),
        "prov:startedAtTime": first.recorded_at,
        "prov:endedAtTime": last.recorded_at,
        "prov:wasAssociatedWith": [
            {"@type": "prov:Agent", "prov:label": name}
            for name in dict.fromkeys(event.author for event in facts.events)
        ],
    }
    return {"prov:wasDerivedFrom": sources or [_make_feature_source(facts)], "prov:wasGeneratedBy": [activity]}


def _make_feature_source(facts: ReleaseFacts) -> dict[str, Any]:
    label = f"The {facts.features:,} features that were added to the dataset."
    return {"@id": f"urn:sha256:{facts.dataset}#features", "@type": "prov:Entity", "prov:label": label}


def list_licences(item: CollectionFacts, described: Mapping[str, str]) -> list[str]:
    """Return the licences of a collection: those that archives stated, or the described one."""
    return [described[item.name]] if item.name in described else item.licences


def _iter_distribution(facts: ReleaseFacts, files: Files, base_url: str, archives: Files) -> Iterator[dict[str, Any]]:
    for path, file in sorted(archives.items()):
        yield _make_file_object(path, file, base_url)
    for path, file in sorted(files.items()):
        if path.startswith(f"{TABLES}/"):
            yield _make_file_object(path, file, "" if archives else base_url) | _make_container(path, archives)
    for item in facts.collections:
        if item.files:
            folder = f"{RASTERS}/{item.name}"
            file_set = _make_file_set(folder, sentences.describe_collection(item), "image/tiff")
            yield file_set | _make_container(folder, archives)
    for label in facts.labels:
        media_type = "application/json" if label.kind == "label boxes" else "image/tiff"
        for collection in label.collections:
            folder = f"{LABELS}/{label.name}/{collection}"
            file_set = _make_file_set(folder, sentences.describe_labels(label), media_type)
            yield file_set | _make_container(folder, archives)


def _make_container(path: str, archives: Files) -> dict[str, Any]:
    """Return which archive holds a path, if archives hold the folders."""
    return {"containedIn": {"@id": f"{path.partition('/')[0]}.zip"}} if archives else {}


def _make_file_object(path: str, file: FileFacts, base_url: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": f"{base_url}{path}",
        "contentSize": f"{file.size} B",
        "encodingFormat": find_media_type(path),
        "sha256": file.sha256,
    }


def _make_file_set(folder: str, text: str, media_type: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": folder,
        "name": folder,
        "description": f"{text} MANIFEST has the SHA-256 of each file, and the tables have its path.",
        "encodingFormat": media_type,
        "includes": f"{folder}/{'*.json' if media_type == 'application/json' else '*.tif'}",
    }


def _iter_record_sets(
    facts: ReleaseFacts, files: Files, columns: Mapping[str, Mapping[str, str]]
) -> Iterator[dict[str, Any]]:
    parts = sorted({part.part for part in facts.parts if part.part is not None})
    sizes = {"features": facts.features, "rasters": len(facts.collections), "parts": len(parts)}
    targets = {name for name, size in sizes.items() if size}
    for table, types in columns.items():
        path = f"{TABLES}/{table}.parquet"
        if path in files:
            yield _make_table(table, path, types, targets)
    if parts:
        yield _make_part_names(parts)


def _make_part_names(parts: list[str]) -> dict[str, Any]:
    """Return the record set of the names of parts; Croissant has its own names for the usual ones."""
    return {
        "@type": "cr:RecordSet",
        "@id": "parts",
        "name": "parts",
        "description": "The parts of the splits.",
        "dataType": "cr:Split",
        "key": {"@id": "parts/name"},
        "field": [
            {"@type": "cr:Field", "@id": "parts/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "parts/url", "name": "url", "dataType": ["sc:URL", "cr:Split"]},
        ],
        "data": [{"parts/name": part, "parts/url": _SPLITS.get(part, f"{_NAMESPACE}Split")} for part in parts],
    }


def _make_table(table: str, path: str, types: Mapping[str, str], targets: Set[str]) -> dict[str, Any]:
    """Return the record set of a table; lists and geometries, which Croissant has no type for, are left out.

    Columns refer only to `targets`, the record sets with rows: mlcroissant cannot join an empty one.
    """
    fields = [_make_field(table, path, name, _TYPES[kind], targets) for name, kind in types.items() if kind in _TYPES]
    record_set = {"@type": "cr:RecordSet", "@id": table, "name": table, "description": f"The table '{table}'."}
    key = {"key": {"@id": f"{table}/{_KEYS[table]}"}} if table in _KEYS else {}
    return {**record_set, **key, "field": fields}


def _make_field(table: str, path: str, column: str, data_type: str, targets: Set[str]) -> dict[str, Any]:
    source = {"fileObject": {"@id": path}, "extract": {"column": column}}
    field = {
        "@type": "cr:Field",
        "@id": f"{table}/{column}",
        "name": column,
        "dataType": data_type,
        "source": source,
    }
    target = _REFERENCES.get((table, column), "")
    if target in targets:
        field["references"] = {"field": {"@id": f"{target}/{_KEYS[target]}"}}
    return field
