"""Plot: a figure with a text alternative and the numbers that it shows, as SVG, PNG or HTML with equal bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.atomic_files import write_atomic
from geographer.base.errors import UsageError
from geographer.outputs.pages.page import render_page, require_packages, resolve_page_path, write_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from geographer.outputs.pages.map import PageMap

_SUFFIXES: Final = (".png", ".svg", ".html")
_SHOWN_DPI: Final = 110
_MAX_DPI: Final = 1200
_MAX_ROWS: Final = 1000
"""How many rows of its table a page has."""


class PlotTable(NamedTuple):
    """The numbers that a plot shows: the names of columns, and rows of texts, numbers and None."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Plot:
    """A plot of a revision, which notebooks show.

    Attributes:
        title: What it is of.
        alt: What it shows, in sentences, for those who don't see it.
        notes: What is left out, and other remarks.
        table: The numbers that it shows.
    """

    def __init__(
        self,
        title: str,
        alt: str,
        table: PlotTable,
        draw_figure: Callable[[], Figure],
        *,
        notes: Sequence[str] = (),
        build_map: Callable[[], tuple[PageMap, Sequence[str]]] | None = None,
    ) -> None:
        """Make a plot.

        Args:
            title: See the attributes.
            alt: See the attributes.
            table: See the attributes.
            draw_figure: Draws it; called in a block of `use_plot_style`.
            notes: See the attributes.
            build_map: Builds the map of its page, and the names of its places. None: the page has the figure.

        Raises:
            MissingLibraryError: matplotlib is not installed.
        """
        require_packages("a plot", "matplotlib")
        self.title = title
        self.alt = alt
        self.table = table
        self.notes = tuple(notes)
        self._draw_figure = draw_figure
        self._build_map = build_map

    def to_svg(self) -> str:
        """Return the plot as an SVG element, which a page can have inside, or a file alone."""
        from geographer.outputs.plots.svg import clean_svg

        return clean_svg(self._render_figure("svg").decode(), self.title, self.alt)

    def to_png(self, dpi: int = 150) -> bytes:
        """Return the plot as PNG with `dpi` pixels per inch."""
        if isinstance(dpi, bool) or not isinstance(dpi, int) or not 10 <= dpi <= _MAX_DPI:
            raise UsageError(f"invalid dpi {dpi!r}. Use a whole number from 10 to {_MAX_DPI}.")
        return self._render_figure("png", dpi)

    def to_html(self) -> str:
        """Return a page that needs no other file: the plot as SVG, or a map to move, its text and its numbers.

        Raises:
            MissingLibraryError: jinja2 is not installed, or Bokeh, which draws the map.
        """
        rows = self.table.rows[:_MAX_ROWS]
        values: dict[str, Any] = {
            **{"alt": self.alt, "notes": self.notes, "columns": self.table.columns, "rows": rows},
            "left_out": len(self.table.rows) - len(rows),
        }
        if self._build_map is None:
            return render_page("plot.html.jinja", title=self.title, description=self.alt, svg=self.to_svg(), **values)
        return _render_map_page(self.title, self.alt, *self._build_map(), values)

    def write_file(self, path: str | Path, *, dpi: int = 150, root: Path | None = None) -> Path:
        """Write the plot to a file, and return its path; the suffix says the format: .png, .svg or .html.

        Args:
            path: The file, which is replaced.
            dpi: Pixels per inch of a PNG.
            root: The dataset's folder, whose own files are refused.

        Raises:
            UsageError: another suffix, or the path is that of a folder or of a file of the dataset.
            StorageError: the file cannot be written.
        """
        suffix = require_plot_suffix(path)
        target = resolve_page_path(path, root, what="a plot")
        if suffix == ".html":
            return write_page(target, self.to_html(), root)
        write_atomic(target, self.to_png(dpi) if suffix == ".png" else self.to_svg().encode())
        return target

    save = write_file
    """The name that matplotlib's users expect."""

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{_escape_text(note)}</p>" for note in self.notes)
        return f"<div>{self.to_svg()}{notes}</div>"

    def __repr__(self) -> str:
        return f"Plot: {self.title}. {self.alt}"

    def _render_figure(self, format: str, dpi: int = _SHOWN_DPI) -> bytes:
        from geographer.outputs.plots.figure import use_plot_style

        file = io.BytesIO()
        with use_plot_style():
            figure = self._draw_figure()
            metadata = {"Date": None, "Creator": "geographer"} if format == "svg" else {"Software": "geographer"}
            figure.savefig(file, format=format, dpi=dpi, bbox_inches="tight", pad_inches=0.12, metadata=metadata)
        return file.getvalue()


def require_plot_suffix(path: str | Path) -> str:
    """Return the suffix of a plot's file; `UsageError` unless it is one of those that `Plot.write_file` writes."""
    suffix = Path(path).suffix.lower() if isinstance(path, str | Path) else ""
    if suffix == ".htm":
        return ".html"
    if suffix not in _SUFFIXES:
        raise UsageError(f"cannot write a plot to '{path}': unknown suffix '{suffix}'. Use .png, .svg or .html.")
    return suffix


def _render_map_page(title: str, alt: str, page_map: PageMap, names: Sequence[str], values: dict[str, Any]) -> str:
    from geographer.outputs.pages.map import MAP_DATA
    from geographer.outputs.pages.page import read_script

    data = {MAP_DATA: page_map.data, "map-names": [*names]}
    pages: dict[str, Any] = {"scripts": page_map.scripts, "styles": [read_script("map.css")], "data": data}
    return render_page("plot_map.html.jinja", title=title, description=alt, map=page_map, **pages, **values)


def _escape_text(text: str) -> str:
    import html

    return html.escape(text)
