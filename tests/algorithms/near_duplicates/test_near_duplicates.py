"""Near-duplicates: what counts as one, on real scenes and on cases that are easy to get wrong."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from geographer.algorithms.near_duplicates import candidates
from geographer.algorithms.near_duplicates.descriptor import ImageDescriptors, describe_image
from geographer.algorithms.near_duplicates.find import find_near_duplicates
from geographer.algorithms.near_duplicates.spectrum import project_bands
from geographer.algorithms.near_duplicates.wave_vectors import list_orientations
from tests.benchmarks.near_duplicates import (
    compress_pixels,
    cut_chips,
    evaluate_pairs,
    list_example_scenes,
    plant_pairs,
    read_scenes,
)


@pytest.fixture(scope="module")
def scenes():
    return read_scenes(list_example_scenes())


@pytest.fixture(scope="module")
def scene(scenes):
    """The pixels of the scene of three bands, without its nodata."""
    return scenes[0].pixels[:, 100:300, 150:400]


def find_pairs(*images, groups=None, valid=None):
    masks = valid or [None] * len(images)
    rows = [describe_image(image, mask) for image, mask in zip(images, masks, strict=True)]
    found = find_near_duplicates(ImageDescriptors.from_rows(rows), None if groups is None else np.array(groups))
    return {(int(a), int(b)) for a, b in found.pairs}, found


def turn_image(image, turns, mirror):
    turned = np.rot90(image, turns, (1, 2))
    return turned[:, :, ::-1] if mirror else turned


def test_planted_pairs_of_real_scenes_are_found(scenes):
    """Recall and precision on a small form of the benchmark; see tests/benchmarks/near_duplicates.py."""
    for size, count in ((64, 700), (32, 400)):
        rng = np.random.Generator(np.random.PCG64(size))
        chips = cut_chips(scenes, size, count, rng)
        planted = plant_pairs(scenes, chips, 60, rng)
        rows = [describe_image(chip.pixels, chip.valid) for chip in chips]
        result = evaluate_pairs(chips, planted, find_near_duplicates(ImageDescriptors.from_rows(rows)))
        assert result.recall >= 0.98
        assert result.precision >= 0.95


def test_spectrum_of_turned_image_is_permuted(scene):
    """Turning an image permutes its coefficients, as the orientations say: each of the 8 is one of them, exactly."""
    image = scene[:, :64, :64].astype(np.float32)
    spectrum = project_bands(image)
    expected = [project_bands(turn_image(image, turns, mirror)) for turns in range(4) for mirror in (False, True)]
    for rows, is_conjugated in list_orientations():
        turned = np.where(is_conjugated, spectrum[:, rows].conj(), spectrum[:, rows])
        assert sum(np.allclose(turned, other, atol=2e-3) for other in expected) == 1


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_every_orientation_is_found(scene, turns, mirror):
    """An image that is turned, shifted by 5 %, darker and compressed; the shift of another one is 12.5 %."""
    a = scene[:, 20:84, 30:94]
    b, far = scene[:, 23:87, 27:91], scene[:, 28:92, 30:94]
    b = compress_pixels(turn_image(b * 0.8, turns, mirror).astype(np.uint8), np.ones((64, 64), bool))
    pairs, found = find_pairs(a, b, far)
    assert pairs == {(0, 1)}
    assert found.score[0] > 0.8


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("bands", [1, 2, 13])
def test_bands_and_types(scene, dtype, bands):
    """All bands count: images that agree in all but the last two of three bands are no near-duplicates."""
    rng = np.random.default_rng(bands)
    weights = rng.uniform(0.2, 1, (bands, 3))
    scale = 1 if dtype == "uint8" else 30

    def mix(row, column):
        window = scene[:, row : row + 64, column : column + 64].astype(float)
        return np.einsum("bk,kij->bij", weights, window / 3 * scale).astype(dtype)

    pairs, _ = find_pairs(mix(10, 10), turn_image(mix(11, 8), 1, mirror=True), mix(60, 60))
    assert pairs == {(0, 1)}


def test_other_bands_make_other_images(scene):
    """An image whose second and third band are of another place is another image."""
    a, b = scene[:, :64, :64], scene[:, 100:164, 100:164]
    assert find_pairs(a, np.concatenate([a[:1], b[1:]]))[0] == set()


def test_bands_that_cancel_are_compared(scene):
    """The sum of an image and its negative is flat; a mixture with other weights shows it."""
    a, b = scene[:1, :64, :64], scene[:1, 100:164, 100:164]
    assert find_pairs(*(np.concatenate([x, 255 - x]) for x in (a, turn_image(a, 1, mirror=False), b)))[0] == {(0, 1)}


def test_nodata_does_not_count(scene):
    """Nodata of other values and a wedge of it do not hide a near-duplicate, and do not make one."""
    valid = np.add.outer(np.arange(64), np.arange(64)) > 40
    a, b, other = (scene[:, row : row + 64, 20:84].astype(float) for row in (20, 22, 110))
    images = np.where(valid, a, -9999), np.where(valid, b, np.nan), np.where(valid, other, -9999)
    assert find_pairs(*images, valid=[valid] * 3)[0] == {(0, 1)}


def test_resampled_image_is_found(scene):
    """A copy of another size, as other datasets have it."""
    image = scene[:, 10:138, 10:138]
    smaller = np.array(Image.fromarray(image.transpose(1, 2, 0)).resize((96, 96))).transpose(2, 0, 1)
    assert find_pairs(image, smaller, scene[:, 70:198, 100:228])[0] == {(0, 1)}


def test_edges_and_slopes_do_not_make_pairs(scene):
    """Images along one straight edge, or on one slope, look the same wherever they lie; with texture beside it not."""
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:64, :64]

    def add_noise(image):
        return np.clip(image + rng.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)[None]

    edges = [add_noise(np.where(columns > place, 180.0, 60.0)) for place in (30, 31, 33)]
    slopes = [add_noise(20 + 2.0 * columns + 1.5 * rows + offset) for offset in (0, 3)]
    assert find_pairs(*edges, *slopes)[0] == set()
    edge_in_scene = np.where(columns > 30, 120, 0).astype(np.uint8)
    images = [scene[:1, row : row + 64, 30:94] // 4 + edge_in_scene for row in (10, 12, 90)]
    assert find_pairs(*images)[0] == {(0, 1)}


def test_flat_images_pair_only_if_equal():
    """Images of one colour: equal ones are identical, others are not comparable."""
    flat = np.full((3, 32, 32), 7, np.uint8)
    pairs, found = find_pairs(flat, flat + 1, flat.copy(), flat.astype(np.uint16))
    assert pairs == {(0, 2)}
    assert found.is_identical.all()
    assert found.not_comparable.tolist() == [0, 1, 2, 3]


def test_groups_restrict_pairs(scene):
    """Only pairs of different groups; a negative group is none."""
    image = scene[:, :64, :64]
    images = [image, turn_image(image, 1, mirror=False), image.copy(), turn_image(image, 2, mirror=True)]
    assert len(find_pairs(*images)[0]) == 6
    assert find_pairs(*images, groups=[0, 0, 1, -1])[0] == {(0, 2), (1, 2)}


def test_blocks_do_not_matter(scene, monkeypatch):
    """The result depends on the order of images alone, not on the size of blocks; nothing is found among none."""
    images = [turn_image(scene[:, row : row + 40, :40], row % 4, mirror=False) for row in range(0, 100, 2)]
    pairs, found = find_pairs(*images)
    monkeypatch.setattr(candidates, "BLOCK_SIZE", 7)
    again, other = find_pairs(*images)
    assert again == pairs != set()
    assert np.allclose(found.score, other.score, atol=1e-4)
    assert find_pairs()[0] == set()
    assert find_pairs(images[0])[0] == set()


def test_small_and_odd_shapes():
    """Images of a few pixels, and of other proportions, are described without error."""
    rng = np.random.default_rng(3)
    shapes = [(1, 1, 1), (2, 1, 50), (1, 16, 16), (3, 40, 90), (1, 7, 5)]
    images = [rng.integers(0, 255, shape).astype(np.uint8) for shape in shapes]
    pairs, found = find_pairs(*images, *[image.copy() for image in images])
    assert {(n, n + len(shapes)) for n in range(len(shapes))} <= pairs
    assert found.not_comparable[0] == 0
