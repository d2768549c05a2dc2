"""Staging folders: used ones are kept, those of killed processes are deleted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from geographer.storage.database.dataset_folder import make_staging_folder
from tests import REPOSITORY

HOLD_FOLDER = (
    "import sys, time; from pathlib import Path; from geographer.storage.database.dataset_folder import "
    "make_staging_folder\nwith make_staging_folder(Path(sys.argv[1])) as folder:\n"
    "    (folder / 'chip.tif').touch(); print(folder, flush=True); time.sleep(60)\n"
)


def test_staging_folder_outlives_other_runs_but_not_its_process(tmp_path: Path) -> None:
    (tmp_path / ".geographer").mkdir()
    command = [sys.executable, "-c", HOLD_FOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        other = Path(process.stdout.readline().strip())
        try:
            with make_staging_folder(tmp_path) as folder:
                assert (folder.is_dir(), (other / "chip.tif").is_file()) == (True, True)
            assert [path.name for path in other.parent.iterdir() if path.is_dir()] == [other.name]
        finally:
            process.kill()
    with make_staging_folder(tmp_path) as folder:
        assert [path for path in other.parent.iterdir() if path.is_dir()] == [folder]
    assert list(other.parent.iterdir()) == []
