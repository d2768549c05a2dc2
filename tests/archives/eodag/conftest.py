"""Fixtures for eodag: providers on loopback."""

from __future__ import annotations

import pytest

from tests.stac_servers import FaultyArchive

LOOPBACK = """
loopback:
  url: {url}
  priority: 1
  search:
    type: StacSearch
    api_endpoint: {url}/search
    need_auth: false
    asset_key_from_href: false
    discover_queryables: {{fetch_url: null, collection_fetch_url: null}}
    discover_collections: {{fetch_url: null}}
    metadata_mapping: {{"order:status": "{{$.properties.\\"order:status\\"#replace_str(\\"Not Available\\",\\"succeeded\\")}}"}}
  products:
    scenes: {{_collection: scenes}}
  download: {{type: HTTPDownload, auth_error_code: 401, extract: false}}
"""


@pytest.fixture
def loopback_provider(
    archive: FaultyArchive, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configure eodag's provider `loopback`, whose pages are linked, and which delivers assets."""
    configuration = tmp_path_factory.mktemp("eodag") / "eodag.yml"
    configuration.write_text(LOOPBACK.format(url=archive.url))
    monkeypatch.setenv("EODAG_CFG_FILE", str(configuration))
