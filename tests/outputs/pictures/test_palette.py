"""The palette: stable, and distinguishable without colours."""

from __future__ import annotations

from geographer.outputs.pictures.palette import (
    CHANGE_COLOURS,
    CHANGE_STYLES,
    COLOURS,
    SUBSET_STYLES,
    assign_colours,
    assign_styles,
    assign_subset_styles,
)


def measure_luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_depend_on_order_alone() -> None:
    assert assign_colours(["lake", "wood", "lake"]) == {"lake": COLOURS[0], "wood": COLOURS[1]}
    assert assign_colours(["wood", "lake", "new"])["lake"] == COLOURS[1]


def test_styles_of_many_names_differ() -> None:
    styles = assign_styles([f"class {number}" for number in range(24)])
    assert len({*styles.values()}) == 24
    assert len({(style.marker, style.hatch) for style in [*styles.values()][:8]}) == 8


def test_subsets_keep_their_styles() -> None:
    styles = assign_subset_styles(["fold-1", "validation", "train", "fold-2"])
    assert [*styles] == ["fold-1", "validation", "train", "fold-2"]
    assert styles["validation"] == SUBSET_STYLES["val"]
    assert len({style.colour for style in styles.values()}) == 4


def test_changes_differ_in_lightness_dash_marker_and_hatch() -> None:
    assert [*CHANGE_COLOURS] == ["added", "removed", "changed"]
    for field in ("dash", "marker", "hatch"):
        assert len({getattr(style, field) for style in CHANGE_STYLES.values()}) == 3
    lightness = sorted(measure_luminance(colour) for colour in CHANGE_COLOURS.values())
    assert lightness[1] - lightness[0] > 0.05
    assert lightness[2] - lightness[1] > 0.05
