"""Read a report as a browser does: elements, tables by caption, and what it would ask for; without the package's code."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "img", "br", "input", "hr", "path", "use", "rect", "circle", "line"}


class ReportReader(HTMLParser):
    """Collects the elements with their attributes, the texts, the tables by caption, and the texts by id."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.headings: list[tuple[str, str]] = []
        self.texts: dict[str, str] = {}
        self._open: list[tuple[str, str | None]] = []
        self._caption = ""
        self._cells: list[list[str]] = []
        self.source = path.read_text("utf-8")
        self.feed(self.source)
        self.text = " ".join("".join(self.texts.values()).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self._open.append((tag, attributes.get("id")))
        if tag == "table":
            self._caption, self._cells = "", []
        elif tag == "tr":
            self._cells.append([])
        elif tag in ("th", "td"):
            self._cells[-1].append("")
        elif tag in ("h1", "h2", "h3"):
            self.headings.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open[-1][0] != tag:
            self._open.pop()
        if self._open:
            self._open.pop()
        if tag == "table":
            self.tables[self._caption.strip()] = self._cells

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self._open]
        if "script" in tags or "style" in tags:
            return
        nearest = next((name for _, name in reversed(self._open) if name), "")
        self.texts[nearest] = self.texts.get(nearest, "") + data
        if "caption" in tags:
            self._caption += data
        elif "td" in tags or "th" in tags:
            self._cells[-1][-1] += data
        elif tags and tags[-1] in ("h1", "h2", "h3"):
            tag, text = self.headings[-1]
            self.headings[-1] = (tag, text + data)

    def list_addresses(self) -> list[str]:
        """Return what the page could ask for: the values of attributes that browsers load, without its own anchors."""
        names = ("src", "href", "xlink:href", "srcset", "data", "action", "poster", "background")
        values = [
            str(attributes[name])
            for tag, attributes in self.elements
            for name in names
            if name in attributes and not (tag == "a" and str(attributes[name]).startswith("#"))
        ]
        return [value for value in values if not value.startswith(("data:", "#"))]

    def find_row(self, caption: str, name: str) -> list[str]:
        """Return the cells after the first one of the row that begins with `name`."""
        (row,) = [row for row in self.tables[caption] if row[0] == name]
        return row[1:]
