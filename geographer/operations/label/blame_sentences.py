"""Sentences that say what gave a pixel of a label its value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from geographer.base.text import format_count
from geographer.operations.label.base import LabelRecipe
from geographer.operations.label.boxes import LabelBoxes
from geographer.operations.label.custom import LabelCustom
from geographer.operations.label.masks import LabelInstances, LabelMask, LabelMultilabel
from geographer.operations.label.probabilities import LabelProbabilities

_ORDERS: Final = {
    "class-order": "of overlapping features that of the class with the larger value is on top, then the one added last",
    "smallest-on-top": "of overlapping features the one with the smaller area is on top, then the one added last",
    "newest": "of overlapping features the one added last is on top",
}
_CENTRES: Final = (
    "an area fills the pixels whose centres it contains, and one that contains none that of its representative point"
)
_SHOWN_FEATURES: Final = 10


def describe_rule(recipe: LabelRecipe) -> str:
    """Return how a label recipe decides the value of a pixel, in one sentence without a full stop."""
    width = f"lines and points are {recipe.width} wide" if recipe.width is not None else ""
    rules: list[str] = []
    if isinstance(recipe, LabelMask):
        rules = [
            "an area fills every pixel that it touches" if recipe.all_touched else _CENTRES,
            _ORDERS[recipe.overlap],
        ]
        rules.append("the background class erases what is below")
        if recipe.ignore is not None:
            also = " and ignored features" if recipe.ignore_where is not None else ""
            rules.append(f"pixels without valid data{also} have the value {recipe.ignore} over all else")
    elif isinstance(recipe, LabelInstances):
        rules = [_CENTRES, _ORDERS[recipe.overlap], "visible features are numbered in the order of addition"]
        rules.append("the background class erases what is below")
    elif isinstance(recipe, LabelMultilabel):
        rules = [_CENTRES, "each class has a band of its own", "the background class erases in all bands"]
    elif isinstance(recipe, LabelProbabilities):
        rules = [_CENTRES, f"overlapping features are combined by their {recipe.combine}"]
        rules.append("all classes are 0 where the background class lies")
    elif isinstance(recipe, LabelBoxes):
        share = recipe.min_visible
        visible = f"if at least {share:g} of its area is visible" if share else "however little of it is visible"
        rules = [
            f"a feature has a box {visible}",
            "background has none",
        ]
    elif isinstance(recipe, LabelCustom):
        rules = [f"label maker '{recipe.maker}' draws it"]
    return "; ".join(rule for rule in [*rules, width] if rule)


def describe_event(event: Mapping[str, Any]) -> str:
    """Return which event, by whom, when and why."""
    message = f': "{event["message"]}"' if event["message"] else ""
    return f"@{event['position']} ({event['kind']}) by {event['author']} on {event['recorded_at']:%Y-%m-%d}{message}"


def make_sentences(facts: Mapping[str, Any], recipe: LabelRecipe) -> list[str]:
    """Return what the facts of a blame say."""
    sentences = [_describe_value(facts)]
    if facts["agrees"] is None and isinstance(recipe, LabelCustom):
        sentences.append(f"Label maker '{recipe.maker}' gave this value; geographer does not know why.")
    elif facts["agrees"] is None:
        sentences.append("This revision has no such raster, so nothing says what the label shows.")
    if facts["agrees"] is False:
        sentences.append(_describe_disagreement(facts))
    is_older = facts["made_with"] is not None and (facts["is_explained"] or facts["agrees"] is None)
    layers = facts["made_with"] if is_older else facts["features"]
    if facts["is_invalid"]:
        sentences.append("The raster has no valid data there, so its features do not count.")
    elif not layers and facts["agrees"] is not None and not (is_older and facts["agrees"] is False):
        sentences.append("No feature covers it.")
    sentences += [_describe_layer(layer, facts) for layer in reversed(layers[-_SHOWN_FEATURES:])]
    if len(layers) > _SHOWN_FEATURES:
        sentences.append(f"{format_count(len(layers) - _SHOWN_FEATURES, 'more feature')} lie below.")
    sentences.append(f"The rule of {facts['kind']} '{facts['label']}': {facts['rule']}.")
    return [*sentences, f"The label was made in {describe_event(facts['event'])}."]


def _describe_value(facts: Mapping[str, Any]) -> str:
    pixel = f"Pixel ({facts['x']}, {facts['y']}) of label '{facts['label']}' of '{facts['raster_id']}'"
    value, bands = facts["value"], facts["bands"]
    if bands is not None:
        return f"{pixel} has {', '.join(f'{name} {number:g}' for name, number in zip(bands, value, strict=True))}."
    if isinstance(value, list):
        return f"{pixel} lies in {format_count(len(value), 'box')}{': ' if value else ''}{', '.join(value)}."
    return f"{pixel} has the value {value:g}" + (f", of class '{facts['class']}'." if facts["class"] else ".")


def _describe_disagreement(facts: Mapping[str, Any]) -> str:
    expected = facts["expected"]
    shown = ", ".join(map(str, expected)) if isinstance(expected, list) else f"{expected:g}"
    what = f"The features of @{facts['position']} would give {shown or 'none'} here."
    changes = ", ".join(describe_event(event) for event in facts["changed_since"][:3])
    if facts["is_explained"]:
        cause = f"before {changes}" if changes else "before the dataset changed"
        gave = "these features gave it:" if facts["made_with"] else "no feature covered it then."
        return f"{what} The label is older: it was made in @{facts['event']['position']}, {cause}; {gave}"
    if facts["event"]["position"] == facts["position"]:
        return what
    return f"{what} Those of @{facts['event']['position']}, where the label was made, do not explain it either."


def _describe_layer(layer: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    role = {
        "on top": "gives it",
        "overdrawn": "covers it, too, but is drawn below",
        "erases": "is background and erases what is below",
        "erased": "covers it, but a background feature erases it",
        "ignored": "is one that the recipe ignores",
        "contributes": "contributes",
        "contains": "has a box that contains it",
        "covers": "covers it",
    }[layer["role"]]
    values = layer.get("probabilities")
    given = f" {', '.join(f'{value:g}' for value in values)}" if values else ""
    name = f"Feature '{layer['feature_id']}' ({layer['class']})"
    sentence = f"{name} {role}{given}, as recorded in {describe_event(layer['event'])}"
    if changed := layer.get("changed_since"):
        verb = "added again" if changed["change"] == "added" else changed["change"]
        sentence += f"; {verb} since in @{changed['position']} ({changed['kind']})"
        if facts["agrees"] is not None:
            sentence += f": the pixel would be {'the same' if facts['agrees'] else 'another'}"
    return f"{sentence}."
