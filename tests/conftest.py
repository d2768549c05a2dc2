"""Fixtures for all tests: an isolated home folder, an empty dataset, a dataset with a history, a retry policy."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from selenium.webdriver import Chrome

from geographer import Dataset
from geographer.base.retry import RetryPolicy
from tests.browser import CHROMEDRIVER, CHROMIUM, MISSING_BROWSER, list_console_errors, list_requests, open_browser
from tests.remote_servers import RemoteServers
from tests.sample_history import SampleHistory, create_sample_history, locate_sample_history
from tests.sample_team import Team, copy_team, create_team
from tests.shared_folders import copy_once

# In CI, Hypothesis uses the same examples on every run. HYPOTHESIS_PROFILE=long has twice as many; tests with slow
# examples scale their number by it.
settings.register_profile("ci", derandomize=True, database=None)
settings.register_profile("long", derandomize=bool(os.environ.get("CI")), max_examples=200)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))

# A shell ignores SIGINT in what it runs in the background, and processes that tests interrupt would inherit that.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Set an isolated home folder, so that Git and DVC neither read nor write files of the user."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_", "XDG_", "GEOGRAPHER_"))]:
            patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("DVC_NO_ANALYTICS", "1")
        for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
            patch.setenv(name, str(home / name.lower()))
        patch.setenv("GEOGRAPHER_AUTHOR", "Ada")
        yield


@pytest.fixture(scope="session")
def _shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with open_browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture
def browser(_shared_browser: Chrome) -> Chrome:
    """A real browser without network, at an empty page; what earlier tests asked for and reported is forgotten."""
    _shared_browser.get("about:blank")
    list_requests(_shared_browser)
    list_console_errors(_shared_browser)
    return _shared_browser


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end of a run that pages were not tested, if there is no browser."""
    if CHROMIUM is None or CHROMEDRIVER is None:
        terminalreporter.write_line(f"WARNING: {MISSING_BROWSER}", red=True, bold=True)


@pytest.fixture(scope="session")
def empty_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an empty dataset without Git; copy it before changing it."""
    return Dataset.init(tmp_path_factory.mktemp("template") / "dataset", scm=False).root


@pytest.fixture
def dataset(tmp_path: Path, empty_dataset: Path) -> Dataset:
    """An empty dataset in `tmp_path / "dataset"`."""
    return Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))


@pytest.fixture(scope="session")
def sample_history(tmp_path_factory: pytest.TempPathFactory) -> SampleHistory:
    """A dataset with every kind of event in its history, and a copy as of tag v1; copy before changing it."""

    def create_folder(folder: Path) -> None:
        create_sample_history(folder)

    history = locate_sample_history(copy_once(tmp_path_factory, "sample_history", create_folder))
    for root in (history.root, history.at_v1):
        # What the last command remembered of the files holds in the folder in which it ran.
        dataset = Dataset.open(root)
        dataset._unit_of_work.write_history()
        dataset.tags()
    return history


@pytest.fixture(scope="session")
def team_template(tmp_path_factory: pytest.TempPathFactory) -> Team:
    """Ada's dataset, pushed to a folder; copy it before changing it."""

    def create_folder(folder: Path) -> None:
        create_team(folder / "template")

    return Team(copy_once(tmp_path_factory, "team", create_folder) / "template")


@pytest.fixture
def team(tmp_path: Path, team_template: Team) -> Team:
    """A copy of Ada's dataset, pushed to a folder."""
    return copy_team(team_template, tmp_path / "team")


@pytest.fixture(scope="session")
def remote_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteServers]:
    """Servers for DVC's remotes on loopback, each started when a test first needs it."""
    servers = RemoteServers(tmp_path_factory.mktemp("remotes"))
    yield servers
    servers.close()


@pytest.fixture
def recorded_delays() -> list[float]:
    """Collects the delays that `fast_retry` would have slept, in seconds."""
    return []


@pytest.fixture
def fast_retry(recorded_delays: list[float]) -> RetryPolicy:
    """Make three attempts without sleeping between them."""
    return RetryPolicy(
        max_attempts=3, sleep=lambda seconds, _stop: recorded_delays.append(seconds), draw_fraction=lambda: 0.0
    )
