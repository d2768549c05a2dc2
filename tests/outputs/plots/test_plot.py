"""All kinds of plots: formats, equal bytes, text alternatives, escaped texts, and nothing left behind in matplotlib."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pytest
from PIL import Image

from geographer import Dataset
from geographer.base.errors import NotFoundError, StorageError, UsageError
from geographer.outputs.plots.plot import Plot

KINDS = ("map", "chips", "classes", "splits", "timeline")
SVG = "{http://www.w3.org/2000/svg}"


class PageParser(HTMLParser):
    """Collects the tags, the ids and the texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_data(self, data) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def plots(history: Dataset) -> dict[str, Plot]:
    return {kind: getattr(history.plot, kind)() for kind in KINDS}


class Formats(NamedTuple):
    """A plot in its formats."""

    svg: str
    png: bytes
    html: str


@pytest.fixture(scope="module")
def formats(plots: dict[str, Plot]) -> dict[str, Formats]:
    return {kind: Formats(plot.to_svg(), plot.to_png(60), plot.to_html()) for kind, plot in plots.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_svg_is_one_labelled_element(plots: dict[str, Plot], formats: dict[str, Formats], kind: str) -> None:
    plot = plots[kind]
    root = ElementTree.fromstring(formats[kind].svg)
    assert root.tag == f"{SVG}svg"
    assert (root.get("role"), root.get("aria-label")) == ("img", plot.alt)
    assert root.findtext(f"{SVG}title") == plot.title
    assert root.find(f".//{SVG}style") is None
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len({*ids}) == len(ids)
    references = {*re.findall(r'(?:url\(#|href="#)([^)"]+)', formats[kind].svg)}
    assert references <= {*ids}
    assert "figure_1" not in formats[kind].svg


@pytest.mark.parametrize("kind", KINDS)
def test_formats_have_equal_bytes_every_time(formats: dict[str, Formats], history: Dataset, kind: str) -> None:
    again = getattr(history.plot, kind)()
    assert again.to_svg() == formats[kind].svg
    if kind in ("map", "chips"):
        assert again.to_png(60) == formats[kind].png
        assert again.to_html() == formats[kind].html


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_cropped_at_the_frame(formats: dict[str, Formats], kind: str) -> None:
    with Image.open(io.BytesIO(formats[kind].png)) as image:
        pixels = np.asarray(image.convert("L"))
    frame = np.concatenate([pixels[:3].ravel(), pixels[-3:].ravel(), pixels[:, :3].ravel(), pixels[:, -3:].ravel()])
    assert (frame == 255).all()
    assert pixels.min() < 100


@pytest.mark.parametrize("kind", KINDS)
def test_pages_have_the_numbers_and_ask_for_nothing(
    plots: dict[str, Plot], formats: dict[str, Formats], kind: str
) -> None:
    plot = plots[kind]
    page = PageParser(formats[kind].html)
    texts = " ".join(page.texts)
    assert {"h1", "figure", "figcaption", "table", "caption"} <= {*page.tags}
    assert plot.alt in texts
    for row in plot.table.rows[:30]:
        assert all(str(value) in texts for value in row if isinstance(value, str))
    assert '<link rel="stylesheet"' not in formats[kind].html
    assert len({*page.ids}) == len(page.ids)


def test_hostile_names_are_texts(hostile: Dataset) -> None:
    for plot in (hostile.plot.map(), hostile.plot.classes()):
        texts = "".join(ElementTree.fromstring(plot.to_svg()).itertext())
        assert "$a_{1}$ & \"q\" 's'" in texts
        assert "<img src=x" in texts
        page = PageParser(plot.to_html())
        assert "<img src=x onerror=alert(1)>" in page.texts
        assert page.tags.count("img") <= 1  # that of a map for printing
        plot.to_png(40)  # Warnings of missing glyphs would be errors.


def test_matplotlib_keeps_its_settings(history: Dataset) -> None:
    with matplotlib.rc_context({"font.size": 31.0, "text.parse_math": True, "savefig.facecolor": "red"}):
        inside = history.plot.classes(pixels=False).to_svg()
        assert matplotlib.rcParams["font.size"] == 31.0
        assert matplotlib.rcParams["text.parse_math"] is True
    assert inside == history.plot.classes(pixels=False).to_svg()


def test_files_are_written_by_suffix(plots: dict[str, Plot], tmp_path) -> None:
    plot = plots["splits"]
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<svg"), (".HTML", b"<!DOCTYPE html>")):
        path = plot.save(tmp_path / f"plot{suffix}", dpi=40)
        assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("plot.pdf", UsageError, r"unknown suffix '\.pdf'"),
        ("plot", UsageError, "unknown suffix ''"),
        ("folder.png", UsageError, "it is a folder"),
        ("missing/plot.png", StorageError, "is not a folder"),
        ("rasters/plot.png", UsageError, "keeps its own files"),
    ],
)
def test_other_paths_are_refused(plots: dict[str, Plot], tmp_path, name: str, error, message: str) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "rasters").mkdir()
    with pytest.raises(error, match=message):
        plots["splits"].save(tmp_path / name, root=tmp_path)


def test_dpi_is_checked(plots: dict[str, Plot]) -> None:
    wrong: tuple[Any, ...] = (0, 5000, 96.0, True)
    for dpi in wrong:
        with pytest.raises(UsageError, match="invalid dpi"):
            plots["splits"].to_png(dpi)


def test_notebooks_show_svg_and_notes(plots: dict[str, Plot]) -> None:
    text = plots["chips"]._repr_html_()
    assert text.startswith("<div><svg ")
    assert "Plot: Chips" in repr(plots["chips"])
    for note in plots["chips"].notes:
        assert note in text


def test_accessor_names_its_plots_and_checks_arguments(history: Dataset) -> None:
    assert ".timeline()" in repr(history.plot)
    with pytest.raises(UsageError, match="invalid class_"):
        history.plot.map(class_=[1])
    with pytest.raises(UsageError, match="invalid split"):
        history.plot.splits(3)
    with pytest.raises(UsageError, match="invalid axis"):
        history.plot.timeline(by="size")
    with pytest.raises(NotFoundError, match="no split 'x'"):
        history.plot.splits("x")
