"""A random transform that worker processes import."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch


def add_noise(sample: dict[str, Any]) -> dict[str, Any]:
    """Add what the three global generators draw, and the id of the process."""
    sample["noise"] = torch.tensor([torch.rand(()).item(), np.random.rand(), random.random()])
    sample["process"] = torch.tensor(os.getpid())
    return sample
