"""Large faces: which images the vectors are fitted to, and the steepness of an edit."""

import dataclasses
import doctest

import judged_edits
import large_photos
import numpy as np

from dfi_jax.data import synthetic


def test_as_many_images_have_the_attribute_as_lack_it():
    people = synthetic.load(60, size=16)
    config = dataclasses.replace(large_photos.QUICK, images=10)
    rows = large_photos.choose_images(people, range(50), config)
    assert len(set(rows)) == 20
    assert max(rows) < 50
    assert judged_edits.has(people, rows, "Smiling").sum() == 10


def test_a_sharper_edge_is_steeper_and_a_change_of_tone_is_not():
    assert doctest.testmod(large_photos).attempted
    assert not doctest.testmod(large_photos).failed
    before = np.random.default_rng(0).random((20, 20, 3)).astype(np.float32)
    edges = [np.clip((np.arange(20) - 10) / width, 0, 1) for width in (1, 4)]
    crisp, soft = (before + np.float32(edge[:, None, None]) for edge in edges)
    assert large_photos.steepness(before, crisp) > 1.9 * large_photos.steepness(before, soft)
    assert large_photos.steepness(before, before + np.float32(0.5)) < 1e-3
