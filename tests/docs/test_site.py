"""The documentation site builds without a warning, and works from a folder without any request."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from geographer import Dataset
from geographer.cli import COMMANDS
from geographer.cli.help import CommandGroup
from tests import REPOSITORY
from tests.browser import list_console_errors, list_requests
from tests.shared_folders import create_once

DOCS = REPOSITORY / "docs"
LOADED = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
}
"""Attributes by which a page loads a file."""
NOT_LOADED = {"canonical", "index", "search", "next", "prev", "author", "copyright"}
"""What `rel` says of a link in the head that leads to a page, and loads none."""


class PageReader(HTMLParser):
    """Collects what a page loads, what it links to, and the ids that it has."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.images_without_text: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values.get("id", "")}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in LOADED and LOADED[tag] in values and values.get("rel") not in NOT_LOADED:
            self.loaded.append(values[LOADED[tag]])
        if tag == "img" and not values.get("alt"):
            self.images_without_text.append(values.get("src", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site by the command that CONTRIBUTING.md names, and return its folder."""

    def build(folder: Path) -> None:
        command = re.search(r"^sphinx-build (.*?) OUT", (REPOSITORY / "CONTRIBUTING.md").read_text(), re.MULTILINE)
        assert command is not None
        run = subprocess.run(
            [sys.executable, "-m", "sphinx", *command[1].split(), str(folder / "site")],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode, run.stderr) == (0, "")

    return create_once(tmp_path_factory, "documentation", build) / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, PageReader]:
    return {path: PageReader(path) for path in site.rglob("*.html")}


def test_links_lead_to_pages_and_ids(site, pages):
    """Every link in the site leads to a file and an id; Sphinx checks those that it knows."""
    broken = []
    for path, page in pages.items():
        for link in page.links:
            target = urlsplit(link)
            if target.scheme or target.netloc:
                continue
            file = (path.parent / unquote(target.path)).resolve() if target.path else path
            if not file.is_file() or (
                target.fragment and file in pages and unquote(target.fragment) not in pages[file].ids
            ):
                broken.append((path.relative_to(site).as_posix(), link))
    assert broken == []


def test_links_to_the_repository_lead_to_files(pages):
    """A link to a file of the repository names one that is there."""
    found = {link for page in pages.values() for link in page.links if re.search(r"/(blob|tree)/main/", link)}
    paths = {urlsplit(link).path.split("/main/", 1)[1] for link in found}
    assert len(paths) > 50
    assert [path for path in sorted(paths) if not (REPOSITORY / path).exists()] == []


def test_pages_load_local_files_only(site, pages):
    loaded = [(path, address) for path, page in pages.items() for address in page.loaded]
    assert len(loaded) > len(pages)
    assert [address for _, address in loaded if urlsplit(address).scheme not in ("", "data")] == []
    assert [
        address
        for path, address in loaded
        if not urlsplit(address).scheme and not (path.parent / urlsplit(address).path).is_file()
    ] == []
    styles = [*site.rglob("*.css")]
    addresses = [
        address for style in styles for address in re.findall(r"(?:url\(|@import )['\"]?([^'\")]+)", style.read_text())
    ]
    assert [address for address in addresses if urlsplit(address).scheme not in ("", "data")] == []


def test_images_have_alternative_text(pages):
    assert [name for page in pages.values() for name in page.images_without_text] == []


def test_every_command_and_option_is_documented(site):
    text = "".join(path.read_text() for path in (site / "commands").glob("*.html"))
    ids = set(re.findall(r' id="([^"]+)"', text))
    missing = []
    for words, command in iter_commands():
        name = "-".join(["geographer", *words])
        options = [option for option in command.params if option.param_type_name == "option" and not option.hidden]
        expected = [name, *(f"cmdoption-{name}-{option.opts[0].lstrip('-')}" for option in options)]
        missing += [one for one in expected if one not in ids and one.replace("_", "-") not in ids]
    assert missing == []


def iter_commands():
    """Yield the words of every command that help lists, with the command."""
    import click

    from geographer.cli import load_command

    for name in COMMANDS:
        command = load_command(name)
        yield [name], command
        if isinstance(command, CommandGroup):
            context = click.Context(command)
            nested = {word: command.get_command(context, word) for word in command.list_commands(context)}
            yield from (([name, word], inner) for word, inner in nested.items() if inner and not inner.hidden)


def test_every_public_name_is_documented(site):
    import geographer
    import geographer.torch

    text = "".join(path.read_text() for path in (site / "api").glob("*.html"))
    ids = {name.rpartition(".")[2] for name in re.findall(r' id="(geographer\.[^"]+)"', text)}
    names = {*geographer.__all__, *geographer.torch.__all__} - {"__version__"}
    methods = {name for name in dir(Dataset) if not name.startswith("_")}
    assert sorted(name for name in names | methods if name not in ids) == []


def test_schemas_are_documented(site):
    text = (site / "schemas.html").read_text()
    assert [path.name for path in (REPOSITORY / "schemas").glob("*.json") if path.name not in text] == []


def test_search_works_from_a_folder(site, browser):
    """The site opened as files finds a page, and asks for nothing but its own files."""
    list_requests(browser)
    browser.get((site / "index.html").as_uri())
    box = browser.find_element(By.CSS_SELECTOR, "input[name=q]")
    box.send_keys("leakage certificate")
    box.submit()
    # The results appear one after the other.
    WebDriverWait(browser, 60).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, "#search-results li a[href*='evidence.html']")
    )
    requests = list_requests(browser)
    assert requests
    assert [address for address in requests if not address.startswith("file:")] == []
    assert list_console_errors(browser) == []
