"""Holes in photos: what they are filled with, and from which images."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("cv2")
inpainting = pytest.importorskip("inpainting")  # It needs skimage, too.

from command_line import SMALL  # noqa: E402


def test_a_hole_is_filled_once_and_nothing_else_changes(tmp_path, monkeypatch):
    config = dataclasses.replace(
        inpainting.QUICK,
        dataset="synthetic:8:0:64,letters",
        k=2,
        candidates=4,
        alphas=(1.0,),
        changes={**SMALL, "solver.iterations": "1"},
        out=str(tmp_path),
    )
    filled = []

    def fill(vgg, dataset, photo, others, hidden, alphas, *, recipe):
        filled.append((dataset.name, len(others), recipe.features.size))
        return {
            way: np.where(hidden[..., None], 1 - photo, photo) for way in inpainting.ways(alphas)
        }

    monkeypatch.setattr(inpainting, "fill", fill)
    records = [inpainting.run(config) for _ in range(2)]
    assert filled == [("synthetic", 2, 64), ("letters", 2, 64)]
    assert records[0] == records[1]
    assert {row["images"] for row in records[0]["rows"]} == set(records[0]["images"])
    for row in records[0]["rows"]:
        assert [row["psnr"]] == [photo["psnr"] for photo in row["photos"]]
