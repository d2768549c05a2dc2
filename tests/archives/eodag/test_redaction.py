from __future__ import annotations

import base64
import io
import logging
import traceback
from pathlib import Path

import pytest

from geographer.archives.base import SearchQuery
from geographer.archives.download_pool import Failed, Fetched, fetch_all
from geographer.archives.eodag import EodagSource
from geographer.archives.eodag.redaction import Clean
from geographer.base.errors import GeographerError, UsageError
from geographer.base.retry import RetryPolicy
from tests.stac_servers import Fault, FaultyArchive, search_all

EVERYWHERE = SearchQuery(-180, -90, 180, 90)
ONCE = RetryPolicy(tries=1)
USER, PASSWORD, SIGNED = "ada.lovelace", "Sehr/Geheim+1815", "f00dSIGNATUREcafe"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
ECHO = (
    f'{{"detail": "user {USER} with {PASSWORD}, Basic {BASIC}, at http://x/y?sig={SIGNED}, token={SIGNED}"}}'.encode()
)

CONFIGURATION = """
vault:
  url: {url}
  priority: 1
  search:
    type: StacSearch
    api_endpoint: {url}/search
    need_auth: true
    discover_queryables: {{fetch_url: null, collection_fetch_url: null}}
    discover_collections: {{fetch_url: null}}
  products:
    scenes: {{_collection: scenes}}
  auth:
    type: GenericAuth
    matching_url: {url}
    credentials:
      username: {user}
      password: {password}
  download:
    type: HTTPDownload
    auth_error_code: [401, 403]
"""


@pytest.fixture
def vault(archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyArchive:
    """An archive that wants a password, and signs its URLs."""
    archive.add("scene", (0, 0, 1, 1), {"B02.tif": b"pixels"})
    archive.items[0]["assets"]["B02"]["href"] += f"?sig={SIGNED}"
    (tmp_path / "eodag.yml").write_text(CONFIGURATION.format(url=archive.url, user=USER, password=PASSWORD))
    monkeypatch.setenv("EODAG_CFG_FILE", str(tmp_path / "eodag.yml"))
    return archive


def has_secret(text: str) -> list[str]:
    return [secret for secret in (USER, PASSWORD, BASIC, SIGNED) if secret in text]


def test_the_credentials_of_eodags_configuration_are_used_and_kept_nowhere(
    vault: FaultyArchive, tmp_path: Path
) -> None:
    source = EodagSource(provider="vault", collection="scenes")
    (product,) = search_all(source, EVERYWHERE, ONCE)
    (one,) = fetch_all(source, [product], tmp_path / "downloads", patience=ONCE)
    assert isinstance(one, Fetched)
    assert vault.searches()
    assert {asked.headers.get("Authorization") for asked in vault.log} == {f"Basic {BASIC}"}
    assert vault.log[-1].path.endswith(f"?sig={SIGNED}")
    kept = [
        path.read_text(errors="replace") + str(path) for path in (tmp_path / "downloads").rglob("*") if path.is_file()
    ]
    assert has_secret("".join([repr(product), repr(one), str(product.properties), str(product.files), *kept])) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("kind", ["text/plain", "application/json", "text/html"])
def test_no_answer_of_an_archive_brings_a_secret_into_an_error(
    vault: FaultyArchive,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    kind: str,
) -> None:
    everything = io.StringIO()
    logger = logging.getLogger()
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(everything)])
    monkeypatch.setattr(logger, "level", logging.INFO)
    fault = Fault(status, {"Content-Type": kind, "WWW-Authenticate": f"Basic {BASIC}"}, ECHO)
    source = EodagSource(provider="vault", collection="scenes")
    (product,) = search_all(source, EVERYWHERE, ONCE)
    vault.always("scene/B02.tif", fault)
    (failed,) = fetch_all(source, [product], tmp_path / "downloads", patience=ONCE)
    assert isinstance(failed, Failed)
    assert has_secret(failed.reason) == []
    vault.always("/search", fault)
    with pytest.raises(GeographerError) as raised:
        search_all(source, EVERYWHERE, ONCE)
    assert has_secret(str(raised.value)) == []
    assert has_secret("".join(traceback.format_exception(raised.value))) == []
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    assert has_secret(everything.getvalue()) == []


def test_credentials_of_variables_are_secrets_too(vault: FaultyArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EODAG__VAULT__AUTH__CREDENTIALS__PASSWORD", "Aus-der-Umgebung")
    vault.always("/search", Fault(500, {"Content-Type": "text/plain"}, b"no: Aus-der-Umgebung"))
    with pytest.raises(GeographerError) as raised:
        search_all(EodagSource(provider="vault", collection="scenes"), EVERYWHERE, ONCE)
    assert "no: ***" in str(raised.value)


def test_who_may_not_is_told_where_credentials_go(vault: FaultyArchive) -> None:
    vault.always("/search", Fault(401))
    with pytest.raises(GeographerError, match=r"credentials for 'vault' into eodag's configuration.*EODAG__VAULT__"):
        search_all(EodagSource(provider="vault", collection="scenes"), EVERYWHERE, ONCE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"vault:\n  auth: {{password: {PASSWORD}\n  oops", "is no YAML at line"),
        (f"- {PASSWORD}\n", "has no providers in it"),
    ],
)
def test_a_broken_configuration_is_not_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    (tmp_path / "eodag.yml").write_text(content)
    monkeypatch.setenv("EODAG_CFG_FILE", str(tmp_path / "eodag.yml"))
    with pytest.raises(UsageError, match=message) as raised:
        EodagSource(provider="earth_search", collection="S2_MSI_L1C")
    assert has_secret(str(raised.value)) == []
    assert capfd.readouterr() == ("", "")


def test_a_configuration_that_is_not_there_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EODAG_CFG_FILE", str(tmp_path / "none.yml"))
    with pytest.raises(GeographerError, match="which is not there"):
        EodagSource(provider="earth_search", collection="S2_MSI_L1C")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("for Tom+1 at noon", "for *** at noon"),
        ("?user=Tom%2B1", "?user=***"),
        ("http://a:b@host/path?x=1 failed", "http://host/path failed"),
        ("/search?token=abc&page=2", "/search?token=***&page=2"),
        ("Authorization: Bearer abcdef", "Authorization: ***"),
        ('{"access_token": "abc", "x": 1}', '{"access_token": "***", "x": 1}'),
        ("X-Amz-Signature=abc", "X-Amz-Signature=***"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_what_is_secret_is_taken_out_of_a_text(text: str, expected: str) -> None:
    assert Clean(["Tom+1", "x"])(text) == expected
