"""Take the pictures of the documents: `python -m tests.screenshots [DATASET]` writes `docs/images/*.png`.

DATASET is what `geographer demo` makes; without it, the demo is run. The pictures of the first tutorial show the dataset that it makes.
A picture has at most 256 colours and 150 kB.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from selenium.webdriver import Chrome

from tests import REPOSITORY
from tests.browser import list_console_errors, open_browser
from tests.docs.scenes import prepare_tutorial
from tests.docs.snippets import list_snippets

IMAGES = REPOSITORY / "docs" / "images"
MAX_BYTES = 150_000
COLOURS = (256, 128, 64)
GEOGRAPHER = [sys.executable, "-m", "geographer"]


class Plot(NamedTuple):
    """A picture that `geographer plot` draws."""

    name: str
    arguments: str


class Page(NamedTuple):
    """A page that a command writes to a file; `script` runs before the picture is taken."""

    name: str
    arguments: str
    width: int = 1200
    height: int = 800
    script: str = ""


SHOW_MAP = "[...document.querySelectorAll('h2')].find(title => title.textContent === 'Map').scrollIntoView()"
PLOTS = (
    Plot("plot-map", "map"),
    Plot("plot-chips", "chips --limit 8"),
    Plot("plot-classes", "classes"),
    Plot("plot-splits", "splits"),
    Plot("plot-timeline", "timeline"),
)
TUTORIAL_PLOTS = (
    Plot("ponds-map", "map"),
    Plot("ponds-chips", "chips --limit 12 --columns 6 --bands 4,3,2"),
)
PAGES = (
    Page("diff-page", "diff v1 v2 --html", height=950, script=SHOW_MAP),
    Page("report", "report v2 --html"),
)
VIEWER = Page("viewer", "view --no-open")


def save_picture(name: str, picture: bytes) -> None:
    """Write a picture with few colours: as many as fit into the size that the documents allow."""
    with Image.open(io.BytesIO(picture)) as opened:
        pixels = opened.convert("RGB")
    pixels.thumbnail((1200, 1200))
    for colours in COLOURS:
        buffer = io.BytesIO()
        pixels.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            buffer, "PNG", optimize=True
        )
        if buffer.tell() <= MAX_BYTES:
            break
    (IMAGES / f"{name}.png").write_bytes(buffer.getvalue())
    print(f"docs/images/{name}.png: {pixels.width} by {pixels.height}, {buffer.tell():,} bytes, {colours} colours")


def run_geographer(dataset: Path, *arguments: str) -> None:
    """Run a command in the dataset."""
    subprocess.run([*GEOGRAPHER, "-C", str(dataset), *arguments], check=True, stdout=subprocess.DEVNULL)


def draw_plots(dataset: Path, plots: Sequence[Plot], folder: Path) -> None:
    """Draw pictures by `geographer plot`."""
    for plot in plots:
        file = folder / f"{plot.name}.png"
        run_geographer(dataset, "plot", *plot.arguments.split(), "--dpi", "100", "-o", str(file))
        save_picture(plot.name, file.read_bytes())


def photograph_page(
    browser: Chrome, address: str, page: Page, is_ready: Callable[[Chrome], bool] | None = None
) -> None:
    """Open a page at its size, wait until it is drawn, and take its picture."""
    browser.set_window_size(page.width, page.height)
    browser.get(address)
    deadline = time.monotonic() + 30
    while is_ready and not is_ready(browser) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(2)  # Maps are drawn after they are loaded.
    if page.script:
        browser.execute_script(page.script)
        time.sleep(1)
    for problem in list_console_errors(browser):
        print(f"{page.name}: {problem}")
    save_picture(page.name, browser.get_screenshot_as_png())


@contextmanager
def serve_viewer(dataset: Path) -> Iterator[str]:
    """Start `geographer view`, and return the address of its page."""
    command = [*GEOGRAPHER, "-C", str(dataset), *VIEWER.arguments.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        try:
            printed = ""
            while not (address := re.search(r"http://\S+", printed)):
                printed = server.stdout.readline()
                assert printed, "the viewer ended"
            yield address[0]
        finally:
            server.terminate()


def take_pictures(dataset: Path, folder: Path) -> None:
    """Take all pictures of a dataset, with scratch files in a folder."""
    IMAGES.mkdir(exist_ok=True)
    draw_plots(dataset, PLOTS, folder)
    draw_plots(make_tutorial_dataset(folder / "tutorial"), TUTORIAL_PLOTS, folder)
    with open_browser(folder) as browser:
        for page in PAGES:
            file = folder / f"{page.name}.html"
            run_geographer(dataset, *page.arguments.split(), str(file))
            photograph_page(browser, file.as_uri(), page)
        with serve_viewer(dataset) as address:
            photograph_page(browser, address, VIEWER)


def make_tutorial_dataset(folder: Path) -> Path:
    """Run the first tutorial in a folder, and return its dataset."""
    folder.mkdir()
    runner = prepare_tutorial(folder)
    for snippet in list_snippets("docs/tutorials/one-person.md"):
        if not snippet.reason:
            runner.run_snippet(snippet)
    return folder / "ponds"


def copy_dataset(source: Path | None, folder: Path) -> Path:
    """Return a copy of a dataset, or that of the demo."""
    if source:
        return Path(shutil.copytree(source, folder / "dataset", symlinks=True))
    subprocess.run([*GEOGRAPHER, "demo", str(folder / "demo")], check=True, stdout=subprocess.DEVNULL)
    return folder / "demo" / "dataset"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        take_pictures(copy_dataset(Path(sys.argv[1]) if sys.argv[1:] else None, Path(scratch)), Path(scratch))
