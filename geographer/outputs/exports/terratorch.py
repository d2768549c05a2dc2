"""TerraTorch's configuration of an export: the data module with folders, bands, means and standard deviations.

Source: `GenericNonGeoSegmentationDataModule` and `GenericNonGeoClassificationDataModule` of TerraTorch 1.2,
https://github.com/IBM/terratorch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import yaml

from geographer.outputs.exports.export import Export, LabelInfo

_NAMES: Final[Mapping[str, Sequence[str]]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""The names of the subsets that TerraTorch has."""
_HEADER: Final = """\
# The data of TerraTorch. Run it in this folder with a file that has model and trainer:
#   terratorch fit --config {name} --config model.yaml
# For the model: {model}
"""
_MISSING: Final = """\
# The export has no subset {subset}, so {subset}_data_root is missing here, which TerraTorch needs: export the subset,
# or name a folder. No other subset takes its place: a model must not be chosen on the data that test it.
"""


class BandFacts(NamedTuple):
    """The bands of all images: their names, and the mean and standard deviation of each in the subset to train on."""

    names: Sequence[str]
    means: Sequence[float]
    deviations: Sequence[float]


def choose_subsets(parts: Sequence[str]) -> dict[str, str]:
    """Return the part for those of TerraTorch's train, val and test that there are."""
    found = {subset: next((part for part in parts if part.lower() in names), None) for subset, names in _NAMES.items()}
    return {subset: part for subset, part in found.items() if part is not None}


def format_segmentation(export: Export, subsets: Mapping[str, str], bands: BandFacts, label: LabelInfo) -> str:
    """Return the configuration for the masks of a label, as YAML."""
    roots = {f"{subset}_data_root": f"images/{part}" for subset, part in subsets.items()}
    roots |= {f"{subset}_label_data_root": f"labels/{label.name}/{part}" for subset, part in subsets.items()}
    names = _name_values(export)
    own = {"img_grep": "*.tif", "label_grep": "*.tif", "num_classes": len(names)}
    model = {"class_names": names} | ({} if label.ignore is None else {"ignore_index": label.ignore})
    return _format_config("segmentation", name_config(label), {**roots, **own}, bands, model)


def format_classification(subsets: Mapping[str, str], bands: BandFacts, classes: Sequence[str]) -> str:
    """Return the configuration for images in a folder for each class, as YAML."""
    roots = {f"{subset}_data_root": f"images/{part}" for subset, part in subsets.items()}
    names = sorted(classes)
    return _format_config(
        "classification", name_config(None), {**roots, "num_classes": len(names)}, bands, {"class_names": names}
    )


def name_config(label: LabelInfo | None) -> str:
    """Return the name of the configuration for a label; None: of classification."""
    return "terratorch.yaml" if label is None else f"terratorch-{label.name}.yaml"


def _name_values(export: Export) -> list[str]:
    """Return the name of each pixel value from 0; a value that no class has is `unused`."""
    names = {item.value: item.name for item in export.classes}
    return ["background", *(names.get(value, "unused") for value in range(1, max(names, default=0) + 1))]


def _format_config(
    task: Literal["segmentation", "classification"],
    name: str,
    own: Mapping[str, Any],
    bands: BandFacts,
    model: Mapping[str, Any],
) -> str:
    count = len(bands.names)
    arguments = {
        "batch_size": 8,
        "num_workers": 4,
        **own,
        "dataset_bands": [*bands.names],
        "output_bands": [*bands.names],
        "rgb_indices": [0, 1, 2] if count >= 3 else [0, 0, 0],
        "means": [*bands.means],
        "stds": [*bands.deviations],
        "no_data_replace": 0,
    }
    document = {"data": {"class_path": f"GenericNonGeo{task.capitalize()}DataModule", "init_args": arguments}}
    described = json.dumps(model, ensure_ascii=False)
    text: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    missing = [_MISSING.format(subset=subset) for subset in _NAMES if f"{subset}_data_root" not in own]
    return "".join([_HEADER.format(name=name, model=described), *missing, text])
