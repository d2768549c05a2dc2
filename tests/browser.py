"""A real browser for tests of pages: Debian's Chromium without a screen, cut off from every host but loopback."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING_BROWSER = (
    "no Chromium: pages were NOT tested in a browser. Install Debian's packages chromium and chromium-driver."
)
_OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--lang=en-US",
    "--window-size=1280,900",
]
# WebGL is drawn in software; a name that is no loopback address does not resolve.
_SOFTWARE = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
_CLOSED = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"


@contextmanager
def open_browser(folder: Path, *options: str) -> Iterator[Chrome]:
    """Start a browser with a new profile in `folder`; skip the test if this machine has none."""
    if CHROMIUM is None or CHROMEDRIVER is None:
        pytest.skip(MISSING_BROWSER)
    folder.mkdir(parents=True, exist_ok=True)
    settings = ChromeOptions()
    settings.binary_location = CHROMIUM
    for option in (*_OPTIONS, *_SOFTWARE, _CLOSED, f"--user-data-dir={folder / 'profile'}", *options):
        settings.add_argument(option)
    settings.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    downloads = {"download.default_directory": str(folder), "download.prompt_for_download": False}
    settings.add_experimental_option("prefs", downloads)
    # The path of a socket has at most 107 letters, so the browser's temporary folder needs a short one.
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as short_folder:
        driver = Chrome(settings, Service(CHROMEDRIVER, env={**os.environ, "TMPDIR": short_folder}))
        try:
            yield driver
        finally:
            driver.quit()


def list_requests(driver: Chrome) -> list[str]:
    """Return the URLs that pages have asked for since the last call, without `data:` and `blob:`."""
    urls = []
    for entry in driver.get_log("performance"):
        message: dict[str, Any] = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if urlsplit(url).scheme not in ("data", "blob", "chrome", "devtools"):
                urls.append(url)
    return urls


def list_console_errors(driver: Chrome) -> list[str]:
    """Return the errors and warnings that pages have written to the console since the last call."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
