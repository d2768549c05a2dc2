"""Batches: stack what has one shape in all samples, and list the rest."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from geographer.torch.options import Sample

_LISTED_WITH_BOXES = ("bbox_xyxy", "label")


def collate_chips(samples: Sequence[Sample]) -> Sample:
    """Return a batch of samples: tensors stacked, and texts, boxes, their classes and masks of instances as lists.

    Without boxes, it has the tensors that `torch.utils.data.default_collate` makes. With boxes, the batch is that of
    torchgeo's trainers for detection and instance segmentation.
    """
    listed = set(_LISTED_WITH_BOXES) if "bbox_xyxy" in samples[0] else set()
    if listed and "mask" in samples[0] and samples[0]["mask"].dtype == torch.uint8:
        listed.add("mask")
    return {key: _join_values([sample[key] for sample in samples], is_listed=key in listed) for key in samples[0]}


def _join_values(values: list[object], *, is_listed: bool) -> object:
    # PyTorch's function stacks the tensors of a worker process in shared memory, which saves a copy.
    is_stacked = not is_listed and isinstance(values[0], torch.Tensor)
    return torch.utils.data.default_collate(values) if is_stacked else values
