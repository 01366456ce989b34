"""Fixtures of the tests of manifests."""

import shutil

import numpy as np
import pytest
from builders import make_vector
from manifests import RECIPE, write
from PIL import Image


@pytest.fixture
def folder(photo, random_vgg, tmp_path):
    """A folder with two photos, two vectors, and a manifest of three edits."""
    for i, name in enumerate(("smile", "frown")):
        make_vector(random_vgg, RECIPE, i).save(tmp_path / f"{name}.safetensors", dtype="int8")
    shutil.copy(photo, tmp_path / "you.png")
    write(
        tmp_path,
        {
            "photo": "me.png",
            "attribute": "smile.safetensors",
            "alphas": [0.1, 0.3],
            "face": "whole",
        },
        {"photo": "you.png", "attribute": "frown.safetensors", "face": "whole"},
        {
            "photo": "me.png",
            "attribute": "frown.safetensors",
            "face": [10, 10, 110, 110],
            "name": "my-face",
        },
    )
    return tmp_path


@pytest.fixture
def pair(tmp_path):
    """Two folders of 12 images each, and a copy of the second in which one image differs."""
    rng = np.random.default_rng(0)
    for name in ("without", "with"):
        for i in range(12):
            (tmp_path / name).mkdir(exist_ok=True)
            noise = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / name / f"{i}.png")
    shutil.copytree(tmp_path / "with", tmp_path / "other" / "with")
    shutil.copy(tmp_path / "without" / "0.png", tmp_path / "other" / "with" / "5.png")
    return tmp_path
