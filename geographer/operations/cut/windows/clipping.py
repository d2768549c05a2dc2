"""Clip windows to the extent of a raster."""

from __future__ import annotations

from geographer.base.values import Window


def clip_window(window: Window, width: int, height: int) -> Window | None:
    """Return the part of a window inside a raster of `width` x `height` pixels; None if no pixel is inside."""
    col, row = max(window.col, 0), max(window.row, 0)
    right, bottom = min(window.col + window.width, width), min(window.row + window.height, height)
    return Window(col, row, right - col, bottom - row) if right > col and bottom > row else None


def crosses_edge(window: Window, width: int, height: int) -> bool:
    """Return whether a window has pixels outside a raster of `width` x `height` pixels."""
    return clip_window(window, width, height) != window
