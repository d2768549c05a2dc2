"""docs/annotations.md shows commands as they print, but for digests."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from geographer.cli import geographer_command
from tests import REPOSITORY
from tests.sample_rasters import make_pixels, write_scene

DOCUMENT = REPOSITORY / "docs" / "annotations.md"


def write_inputs(folder: Path) -> None:
    """Write a scene, a COCO file and a YOLO folder for its image."""
    write_scene(folder / "scene.tif", make_pixels(4, 64, 80))
    ponds = [{"id": number, "image_id": 1, "category_id": 1, "bbox": [8 * number, 5, 6, 7.5]} for number in (1, 2, 3)]
    images = [{"id": 1, "file_name": "scene.png", "width": 80, "height": 64}]
    content = {"images": images, "categories": [{"id": 1, "name": "pond"}], "annotations": ponds}
    (folder / "ponds.json").write_text(json.dumps(content))
    (folder / "ships" / "labels").mkdir(parents=True)
    (folder / "ships" / "data.yaml").write_text("names: [ship]\n")
    (folder / "ships" / "labels" / "scene.txt").write_text("0 0.5 0.5 0.125 0.25\n0 0.6 0.7 0.8 0.7 0.8 0.9 0.6 0.9\n")


def submit_tasks(tasks: Path, export: Path) -> None:
    """Write what Label Studio exports after pond 1 was enlarged, and pond 3 deleted."""
    content = json.loads(tasks.read_text())
    for task in content:
        regions = [region for region in task.pop("predictions")[0]["result"] if "feature=3@" not in str(region["meta"])]
        first = next(region for region in regions if "feature=1@" in str(region["meta"]))
        first["value"]["height"] *= 2
        task["annotations"] = [{"result": regions}]
    export.write_text(json.dumps(content))


def test_documented_commands_print_what_they_show(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```console\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
        for text in re.split(r"^\$ geographer ", block, flags=re.MULTILINE)[1:]:
            command, *shown = text.splitlines()
            result = CliRunner().invoke(geographer_command, shlex.split(command))
            assert result.exit_code == 0, (command, result.output)
            printed = [hide_digests(line) for line in result.output.splitlines()]
            assert [line for line in map(hide_digests, shown) if line not in printed] == [], (command, printed)
            if command.startswith("init"):
                monkeypatch.chdir(tmp_path / "ponds")
                write_inputs(tmp_path / "ponds")
            if command.startswith("export label-studio"):
                submit_tasks(tmp_path / "tasks" / "tasks.json", tmp_path / "ponds" / "project-1.json")


def hide_digests(line: str) -> str:
    return re.sub(r"\b[0-9a-f]{12,64}\b", "DIGEST", line).rstrip()
