"""Validators of the formats of a release, without network: each returns what it finds wrong."""

from __future__ import annotations

import io
import json
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter

FOLDER = Path(__file__).parent
RO_CRATE_CONTEXT = "https://w3id.org/ro/crate/1.3/context"


class StoredContext(HTTPAdapter):
    """Answers requests with the JSON-LD context that the package `rocrate` ships."""

    def send(self, request, *_arguments: Any, **_options: Any) -> Any:
        from rocrate import __file__ as package

        body = io.BytesIO((Path(package).parent / "data/ro-crate.jsonld").read_bytes())
        headers = {"Content-Type": "application/ld+json"}
        raw = urllib3.HTTPResponse(body, headers, 200, preload_content=False, request_url=request.url)
        return self.build_response(request, raw)


def seed_context_cache(path):
    """Write the HTTP cache that roc-validator reads offline."""
    from requests_cache import CachedSession

    with CachedSession(str(path), backend="sqlite", expire_after=-1, allowable_methods=("GET",)) as session:
        session.mount("https://", StoredContext())
        session.get(RO_CRATE_CONTEXT, headers={"Accept": "application/ld+json, application/json"})
        session.cache.close()


def check_ro_crate(folder, cache, severity="REQUIRED"):
    """List the issues that roc-validator finds."""
    from rocrate_validator import services
    from rocrate_validator.models import Severity, ValidationSettings

    settings = ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier="ro-crate-1.3",
        requirement_severity=Severity[severity],
        offline=True,
        cache_path=str(cache),
    )
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        result = services.validate(settings)
    return [issue.message for issue in result.get_issues(Severity[severity])]


def load_croissant(path):
    """Return the dataset that mlcroissant loads; its warnings are errors here."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setLevel(logging.WARNING)
    logging.getLogger("absl").addHandler(handler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlcroissant

        dataset = mlcroissant.Dataset(path)
    logging.getLogger("absl").removeHandler(handler)
    assert not stream.getvalue()
    return dataset


def count_records(dataset, name):
    """Return how many records mlcroissant reads of a record set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return len([*dataset.records(name)])


def check_geocroissant(path):
    """Return the report of pyshacl for the shapes of GeoCroissant, or nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyshacl import validate
        from rdflib import Graph

        graph = Graph().parse(data=path.read_text(), format="json-ld")
        conforms, _, report = validate(graph, shacl_graph=str(FOLDER / "geocroissant.ttl"))
    return "" if conforms else report


def check_stac(folder):
    """List the faults of a STAC catalogue: pystac validates, with the schemas of extensions from the fixtures here."""
    import pystac
    from pystac.stac_io import DefaultStacIO

    schemas = {}
    for path in (FOLDER / "stac_schemas").glob("*.json"):
        text = path.read_text()
        schemas[json.loads(text)["$id"].rstrip("#")] = text

    class FixtureIO(DefaultStacIO):
        """Reads files, and the schemas of extensions from the fixtures."""

        def read_text_from_href(self, href, *args, **kwargs):
            return schemas.get(href.rstrip("#")) or Path(href).read_text()

    catalogue = pystac.Catalog.from_file(str(folder / "catalog.json"), stac_io=FixtureIO())
    pystac.StacIO.set_default(FixtureIO)
    try:
        assert catalogue.validate_all()
    finally:
        pystac.StacIO.set_default(DefaultStacIO)
    found = []
    for path in sorted(folder.rglob("*.json")):
        for link in json.loads(path.read_text())["links"]:
            if link["rel"] != "predecessor-version" and not (path.parent / link["href"]).is_file():
                found.append(f"{path.name}: no {link['href']}")
    return found


def check_citation_file(path):
    """Validate a CITATION.cff; raises for a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cffconvert import Citation

        Citation(path.read_text()).validate()
