import numpy as np
from builders import make_vector
from small_edits import BOX, RECIPE, make_editor

from dfi_jax import make_problem, reconstruct
from dfi_jax.photo.image import resize


def test_a_finer_size_starts_from_the_enlarged_difference_at_the_size_before(
    random_vgg, vector, pixels
):
    recipe, alphas = RECIPE.set({"finish": ""}), (0.3, -0.2)
    larger = recipe.set({"features.size": "48"})
    finer = make_vector(random_vgg, larger, seed=2)
    editor = make_editor(random_vgg, recipe, batch_size=1)
    edit = editor.edit(pixels, vector, alphas=alphas, face=BOX, finer=[finer])
    coarse = editor.edit(pixels, vector, alphas=alphas, face=BOX)
    face = resize(pixels[5:55, 10:60], (48, 48))
    start = [np.clip(face + resize(z - coarse.face, (48, 48)), 0, 1) for z in coarse.faces]
    problem = make_problem(
        random_vgg, face[None], finer.features, alphas, recipe=larger, start=np.stack(start)
    )
    expected = reconstruct(random_vgg, problem, recipe=larger, batch_size=1)
    np.testing.assert_array_equal(edit.face, face)
    np.testing.assert_array_equal(edit.faces, expected.images)
    np.testing.assert_array_equal(edit.objective, expected.objective)
    np.testing.assert_array_equal(edit.history, np.hstack([coarse.history, expected.history]))
    assert edit.record["evaluations"] == edit.iterations.tolist() == [8, 8]
    assert [made["size"] for made in edit.record["finer"]] == [48]
    assert (edit.record["recipe"], edit.record["vector"]) == (
        coarse.record["recipe"],
        coarse.record["vector"],
    )
    assert coarse.record["finer"] == []
