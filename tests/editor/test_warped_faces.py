import numpy as np
import pytest
from small_edits import RECIPE, make_editor

from dfi_jax import InputError
from dfi_jax.photo.faces import CANONICAL_LANDMARKS
from dfi_jax.photo.warp import Warp
from dfi_jax.storage.cache import Cache


def test_a_warped_face_is_edited_as_the_average_face_and_its_difference_warped_back(
    random_vgg, vector, monkeypatch
):
    points = CANONICAL_LANDMARKS @ np.diag([0.9, 1.0]) + (16, 3)
    monkeypatch.setattr("dfi_jax.photo.faces.nearest", lambda _, place: place.map_points(points))
    y, x = np.mgrid[:32, :32] / 32
    photo = np.stack([np.sin(9 * x) / 3, np.cos(7 * y) / 3, x * y / 3], axis=-1) + 0.5
    recipe = RECIPE.replace(finish=())
    edited = make_editor(random_vgg, recipe).edit(
        photo.astype(np.float32), vector, alphas=(0.5,), face="whole", warp=True
    )
    warp, face = Warp.between(points, CANONICAL_LANDMARKS), edited.face
    average = warp.average_face(face)
    plain = make_editor(random_vgg, recipe).edit(average, vector, alphas=(0.5,), face="whole")
    expected = face + warp.back(plain.faces[0] - average)
    np.testing.assert_allclose(edited.faces[0], expected, atol=1e-3)
    assert np.abs(edited.faces[0] - face).max() > 0.05  # It was edited at all.
    assert (edited.record["warp"], plain.record["warp"]) == (True, False)


@pytest.mark.parametrize("found", [None, CANONICAL_LANDMARKS + 90])
def test_a_face_whose_landmarks_are_unknown_cannot_be_warped(
    random_vgg, vector, pixels, monkeypatch, found
):
    monkeypatch.setattr("dfi_jax.photo.faces.nearest", lambda pixels, placement: found)
    with pytest.raises(InputError, match="no face was detected where"):
        make_editor(random_vgg).edit(pixels, vector, face="whole", warp=True)


def test_landmarks_of_a_warp_are_detected_once(random_vgg, vector, pixels, monkeypatch):
    asked = []

    def nearest(pixels, placement):
        asked.append(placement)
        return placement.map_points(CANONICAL_LANDMARKS)

    monkeypatch.setattr("dfi_jax.photo.faces.nearest", nearest)
    editor = make_editor(random_vgg, cache=Cache())
    for _ in range(2):
        editor.edit(pixels, vector, face="whole", warp=True)
    assert len(asked) == 1
