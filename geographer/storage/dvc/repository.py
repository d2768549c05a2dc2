"""Open DVC's repository of a workspace."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import finalize

if TYPE_CHECKING:
    from dvc.repo import Repo


def open_repository(root: Path) -> Repo:
    """Open a DVC repository; also one that may not be written, and one that was copied out of its Git repository."""
    import tempfile

    from dvc.repo import Repo
    from dvc.scm import SCMError

    repository_class = Repo
    if not os.access(root / ".dvc" / "tmp", os.W_OK) and not os.access(root / ".dvc", os.W_OK):
        folder = tempfile.mkdtemp(prefix="geographer-")
        repository_class = type("ReadOnlyRepository", (Repo,), {"tmp_dir": folder, "site_cache_dir": folder})
        finalize(repository_class, shutil.rmtree, folder, ignore_errors=True)
    try:
        return repository_class(str(root))
    except SCMError:
        return repository_class(str(root), config={"core": {"no_scm": True}})
