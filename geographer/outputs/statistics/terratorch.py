"""Statistics as the part of a TerraTorch config that they fill: means, stds, class weights, class names."""

from __future__ import annotations

from typing import Any, Final

from geographer.base.errors import UsageError
from geographer.outputs.statistics.results import ClassPixels, DatasetStatistics, LabelSummary, SampleStatistics

_TRAINING_PART: Final = "train"


def format_terratorch(statistics: DatasetStatistics) -> str:
    """Return YAML to paste into a TerraTorch config: of the training samples, values as stored.

    `data.init_args` has `means` and `stds`, the lists that TerraTorch's `compute_statistics` prints. If there is a
    mask, `num_classes` follows, and `model.init_args` gets `ignore_index`, `class_weights` (inverse frequencies; 0 for
    a value without pixels) and `class_names`, from value 0 to the largest one.

    Raises:
        UsageError: there are several subsets and none is `train`, several masks, or a band without valid pixels.
    """
    import yaml

    name, samples = _choose_samples(statistics)
    data: dict[str, Any] = {"means": samples.list_means(), "stds": samples.list_standard_deviations()}
    config: dict[str, Any] = {"data": {"init_args": data}}
    label = _choose_label(samples)
    if label:
        model = _describe_classes(label)
        data["num_classes"] = len(model["class_names"])
        config["model"] = {"init_args": model}
    lines = _describe_source(statistics, name, samples, label)
    text: str = yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
    return "".join(f"# {line}\n" for line in lines) + text


def _choose_samples(statistics: DatasetStatistics) -> tuple[str, SampleStatistics]:
    subsets = statistics.subsets
    if not subsets:
        return "all", statistics.all
    if _TRAINING_PART in subsets:
        return _TRAINING_PART, subsets[_TRAINING_PART]
    if len(subsets) > 1:
        raise UsageError(f"several subsets, and none is '{_TRAINING_PART}'. Name that to train on with --subset.")
    return next(iter(subsets.items()))


def _choose_label(samples: SampleStatistics) -> LabelSummary | None:
    labels = [label for label in samples.labels if label.kind != "multilabel"]
    if len(labels) > 1:
        names = ", ".join(label.label for label in labels)
        raise UsageError(f"several labels have class values: {names}. Name one with --labels.")
    return labels[0] if labels else None


def _describe_classes(label: LabelSummary) -> dict[str, Any]:
    by_value: dict[int, ClassPixels] = {row.value: row for row in label.classes if row.value is not None}
    rows = [by_value.get(value) for value in range(max(by_value, default=0) + 1)]
    ignore = {} if label.ignore is None else {"ignore_index": label.ignore}
    return {
        **ignore,
        "class_weights": [(row.inverse_frequency if row else None) or 0.0 for row in rows],
        "class_names": [(row.class_name if row else None) or f"value {value}" for value, row in enumerate(rows)],
    }


def _describe_source(
    statistics: DatasetStatistics, name: str, samples: SampleStatistics, label: LabelSummary | None
) -> list[str]:
    revision = f"@{statistics.position} {statistics.digest[:12]}"
    lines = [
        f"geographer stats: {samples.samples:,} samples ({name}) at {revision}",
        "Of valid pixels, as stored: with another constant_scale than 1, multiply means and stds by it.",
    ]
    if label:
        lines.append(f"Pixels of label {label.label}, without {label.ignored:,} ignored ones:")
        lines += map(_describe_class, label.classes)
    return [line.replace("\n", " ") for line in lines]


def _describe_class(row: ClassPixels) -> str:
    percentage = 100 * (row.fraction or 0)
    return f"  {row.value}: count {row.pixels}, percentage {percentage:.6g} ({row.class_name or 'no class'})"
