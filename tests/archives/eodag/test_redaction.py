from __future__ import annotations

import base64
import io
import logging
import traceback
from pathlib import Path

import pytest

from geographer.archives.base import SearchQuery
from geographer.archives.download_pool import FailedDownload, FetchedProduct, fetch_products
from geographer.archives.eodag import EodagSource
from geographer.archives.eodag.redaction import Redactor
from geographer.base.errors import GeographerError, UsageError
from geographer.base.retry import RetryPolicy
from tests.stac_servers import Fault, FaultyArchive, search_products

EVERYWHERE = SearchQuery(-180, -90, 180, 90)
ONCE = RetryPolicy(max_attempts=1)
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
def password_archive(archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyArchive:
    """Configure an archive that requires a password and has signed URLs."""
    archive.add_item("scene", (0, 0, 1, 1), {"B02.tif": b"pixels"})
    archive.items[0]["assets"]["B02"]["href"] += f"?sig={SIGNED}"
    (tmp_path / "eodag.yml").write_text(CONFIGURATION.format(url=archive.url, user=USER, password=PASSWORD))
    monkeypatch.setenv("EODAG_CFG_FILE", str(tmp_path / "eodag.yml"))
    return archive


def find_secrets(text: str) -> list[str]:
    return [secret for secret in (USER, PASSWORD, BASIC, SIGNED) if secret in text]


def test_configured_credentials_are_used_but_not_stored(password_archive: FaultyArchive, tmp_path: Path) -> None:
    source = EodagSource(provider="vault", collection="scenes")
    (product,) = search_products(source, EVERYWHERE, ONCE)
    (fetched,) = fetch_products(source, [product], tmp_path / "downloads", retry_policy=ONCE)
    assert isinstance(fetched, FetchedProduct)
    assert password_archive.list_search_bodies()
    assert {request.headers.get("Authorization") for request in password_archive.requests} == {f"Basic {BASIC}"}
    assert password_archive.requests[-1].path.endswith(f"?sig={SIGNED}")
    texts = [
        path.read_text(errors="replace") + str(path) for path in (tmp_path / "downloads").rglob("*") if path.is_file()
    ]
    assert (
        find_secrets("".join([repr(product), repr(fetched), str(product.properties), str(product.files), *texts])) == []
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("media_type", ["text/plain", "application/json", "text/html"])
def test_errors_do_not_quote_secrets(
    password_archive: FaultyArchive,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    media_type: str,
) -> None:
    log_output = io.StringIO()
    logger = logging.getLogger()
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(log_output)])
    monkeypatch.setattr(logger, "level", logging.INFO)
    fault = Fault(status, {"Content-Type": media_type, "WWW-Authenticate": f"Basic {BASIC}"}, ECHO)
    source = EodagSource(provider="vault", collection="scenes")
    (product,) = search_products(source, EVERYWHERE, ONCE)
    password_archive.set_fault("scene/B02.tif", fault)
    (failed,) = fetch_products(source, [product], tmp_path / "downloads", retry_policy=ONCE)
    assert isinstance(failed, FailedDownload)
    assert find_secrets(failed.reason) == []
    password_archive.set_fault("/search", fault)
    with pytest.raises(GeographerError) as raised:
        search_products(source, EVERYWHERE, ONCE)
    assert find_secrets(str(raised.value)) == []
    assert find_secrets("".join(traceback.format_exception(raised.value))) == []
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")
    assert find_secrets(log_output.getvalue()) == []


def test_errors_redact_environment_credentials(
    password_archive: FaultyArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EODAG__VAULT__AUTH__CREDENTIALS__PASSWORD", "Aus-der-Umgebung")
    password_archive.set_fault("/search", Fault(500, {"Content-Type": "text/plain"}, b"no: Aus-der-Umgebung"))
    with pytest.raises(GeographerError) as raised:
        search_products(EodagSource(provider="vault", collection="scenes"), EVERYWHERE, ONCE)
    assert "no: ***" in str(raised.value)


def test_unauthorized_error_says_where_credentials_go(password_archive: FaultyArchive) -> None:
    password_archive.set_fault("/search", Fault(401))
    with pytest.raises(GeographerError, match=r"credentials for 'vault' into eodag's configuration.*EODAG__VAULT__"):
        search_products(EodagSource(provider="vault", collection="scenes"), EVERYWHERE, ONCE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"vault:\n  auth: {{password: {PASSWORD}\n  oops", "is not valid YAML"),
        (f"- {PASSWORD}\n", "contains no providers"),
    ],
)
def test_configuration_error_does_not_quote_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    (tmp_path / "eodag.yml").write_text(content)
    monkeypatch.setenv("EODAG_CFG_FILE", str(tmp_path / "eodag.yml"))
    with pytest.raises(UsageError, match=message) as raised:
        EodagSource(provider="earth_search", collection="S2_MSI_L1C")
    assert find_secrets(str(raised.value)) == []
    assert capfd.readouterr() == ("", "")


def test_missing_configuration_is_not_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EODAG_CFG_FILE", str(tmp_path / "none.yml"))
    with pytest.raises(GeographerError, match="does not exist"):
        EodagSource(provider="earth_search", collection="S2_MSI_L1C")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("for Tom+1 at noon", "for *** at noon"),
        ("?user=Tom%2B1", "?user=***"),
        ("http://a:b@host/path?x=1 failed", "http://host/path failed"),
        ("/search?token=abc&page=2", "/search?token=***"),
        ("Authorization: Bearer abcdef", "Authorization: ***"),
        ('{"access_token": "abc", "x": 1}', '{"access_token": "***", "x": 1}'),
        ("X-Amz-Signature=abc", "X-Amz-Signature=***"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_redactor_masks_secrets(text: str, expected: str) -> None:
    assert Redactor(["Tom+1", "x"])(text) == expected
