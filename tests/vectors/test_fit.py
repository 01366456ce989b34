import dataclasses

import numpy as np
import pytest
from builders import small_recipe

from dfi_jax import (
    Cache,
    Editor,
    FileError,
    InputError,
    Job,
    Unshrunk,
    Wiener,
    features,
    load_vgg,
    near,
)
from dfi_jax.data import synthetic
from dfi_jax.data.admission import thresholded
from dfi_jax.engine.share import Share
from dfi_jax.metrics.judge import fit_judge
from dfi_jax.recipe.preparation import prepare_images
from dfi_jax.vectors import fit as fitting
from dfi_jax.vectors import probes
from dfi_jax.vectors.fit import fit
from dfi_jax.vectors.fitted import FittedDataset

RECIPE = small_recipe(size=16, layers=("conv1_2", "conv2_1"))


@pytest.fixture(scope="module")
def people():
    return synthetic.load(53, size=16)


@pytest.fixture(scope="module")
def phi(random_vgg, people):
    faces = np.stack([people.face(i, 16) for i in range(len(people))])
    found = features(random_vgg, faces, layers=RECIPE.features.layers)
    return {name: np.asarray(layer, np.float64) for name, layer in found.items()}


@pytest.fixture(scope="module")
def fitted(random_vgg, people):
    return fit(random_vgg, people, recipe=RECIPE)


def test_the_sums_are_those_of_all_images(random_vgg, people, phi):
    seen = []
    fitted = fit(random_vgg, people, recipe=RECIPE, on_progress=seen.append)
    design = np.column_stack([np.ones(53), np.clip(people.scores, -3, 3)])
    for name, layer in phi.items():
        expected = np.tensordot(design.T, layer, 1)
        np.testing.assert_allclose(fitted.products[name], expected, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(fitted.squares[name], np.sum(layer**2, axis=0), rtol=1e-4)
    np.testing.assert_allclose(fitted.scores, design[:, 1:])
    assert [p.done for p in seen] == [20, 40, 53]  # 10 images on each of two devices.


def test_the_sums_are_those_of_prepared_images(random_vgg, people, tmp_path):
    recipe = RECIPE.set(
        {
            "features.size": "17",
            "features.pool_rounding": "up",
            "features.preparation": "full_range,padding",
            "features.preparation.padding.multiple": "7",
        }
    )
    fitted = fit(random_vgg, people, recipe=recipe, folder=tmp_path)
    faces = np.stack([people.face(i, 17) for i in range(53)])
    seen = prepare_images(faces, recipe.features.preparation, random_vgg.preprocess.mean_rgb)
    found = features(random_vgg, seen, layers=("conv2_1",), pool_rounding="up")["conv2_1"]
    assert found.shape == (53, 11, 11, 128)
    expected = np.asarray(found, np.float64).sum(axis=0)
    np.testing.assert_allclose(fitted.products["conv2_1"][0], expected, rtol=1e-4, atol=1e-2)
    made = FittedDataset.load(tmp_path).vector("Smiling")
    made.check(random_vgg, recipe=recipe)
    with pytest.raises(InputError, match="made with pooled sizes rounded up and this run has down"):
        made.check(random_vgg, recipe=recipe.set({"features.pool_rounding": "down"}))
    unpadded = recipe.set({"features.preparation": "full_range"})
    with pytest.raises(FileError, match="has sums with a different value of preparation"):
        fit(random_vgg, people, recipe=unpadded, folder=tmp_path)


def test_a_vector_is_the_difference_of_means_if_nothing_is_held_and_scores_are_signs(
    random_vgg, people, phi
):
    signs = people.scores[:, :1] > 0
    dataset = synthetic.load(53, size=16)
    scores = np.where(signs, 1.0, -1.0).astype(np.float32)
    object.__setattr__(dataset, "scores", scores)
    object.__setattr__(dataset, "attributes", people.attributes[:1])
    vector = fit(random_vgg, dataset, recipe=RECIPE).vector(None)
    made = vector.provenance
    assert (made.n_source, made.n_target) == (int((~signs).sum()), int(signs.sum()))
    for name, layer in phi.items():
        difference = layer[signs[:, 0]].mean(axis=0) - layer[~signs[:, 0]].mean(axis=0)
        i = made.layers.index(name)
        np.testing.assert_allclose(made.length[i], np.linalg.norm(difference), rtol=1e-3)
        assert made.noise[i] > 0


def test_a_vector_leads_from_the_mean_score_without_an_attribute_to_that_with_it(
    fitted, people, phi
):
    vector = fitted.vector(people.attributes[0], hold=[], shrinkage=Unshrunk())
    scores = np.clip(people.scores[:, 0], -3, 3).astype(np.float64)
    present = scores > 0
    assert vector.provenance.n_target == present.sum()
    gap = scores[present].mean() - scores[~present].mean()
    centred = scores - scores.mean()
    for name, layer in phi.items():
        slope = np.tensordot(centred, layer, 1) / np.sum(centred**2)
        scale = np.abs(slope).max()
        np.testing.assert_allclose(vector.features[name] / scale, gap * slope / scale, atol=1e-3)


def test_many_edits_with_a_fitted_dataset_compute_a_vector_once(fitted):
    vector = fitted.vector("Smiling")
    assert fitted.vector("smiling") is vector
    others = [
        fitted.vector(attribute, **options)
        for attribute, options in (
            ("~Smiling", {}),
            ("Smiling", {"hold": ["Young"]}),
            ("Smiling", {"penalty": 0.2}),
            ("Smiling", {"shrinkage": Unshrunk()}),
        )
    ]
    made = [each.provenance for each in (vector, *others)]
    assert all(made.index(each) == i for i, each in enumerate(made))
    assert fitted.vector("Smiling") is not vector  # Only the last four are in memory.


def test_attributes_that_mean_much_the_same_are_not_held(random_vgg):
    dataset = synthetic.load(60, size=16)
    scores = dataset.scores.copy()
    names = dataset.attributes
    # The second attribute is the first with a little noise and the opposite sign.
    scores[:, 1] = -scores[:, 0] + np.random.default_rng(0).normal(0, 0.3, 60)
    assert np.corrcoef(scores.T)[0, 1] < -0.9
    assert np.abs(np.corrcoef(scores.T)[0, 2:]).max() < 0.7
    fitted = fit(random_vgg, dataclasses.replace(dataset, scores=scores), recipe=RECIPE)
    assert fitted.vector(names[0]).provenance.held == names[2:]
    assert fitted.vector(names[2]).provenance.held == (*names[:2], *names[3:])
    assert fitted.vector(names[0], hold=[*names, names[2]]).provenance.held == names[1:]


def test_a_run_that_ended_is_resumed(random_vgg, people, fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "CHECKPOINT", 20)

    def stop(progress):
        if progress.done > 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(random_vgg, people, recipe=RECIPE, folder=tmp_path, on_progress=stop)
    with pytest.raises(FileError, match="has 40 of 53 images"):
        FittedDataset.load(tmp_path)
    seen = []
    resumed = fit(random_vgg, people, recipe=RECIPE, folder=tmp_path, on_progress=seen.append)
    assert [p.done for p in seen] == [53]
    for found in (resumed, FittedDataset.load(tmp_path)):
        assert found.origin == fitted.origin
        for name in fitted.products:
            np.testing.assert_allclose(found.products[name], fitted.products[name], rtol=1e-5)
    seen.clear()
    fit(random_vgg, people, recipe=RECIPE, folder=tmp_path, on_progress=seen.append)
    assert seen == []
    with pytest.raises(FileError, match="has sums with a different value of weights_sha256"):
        fit(load_vgg("random-vgg16", seed=1), people, recipe=RECIPE, folder=tmp_path)
    coarse = dataclasses.replace(random_vgg, precision="bfloat16")
    with pytest.raises(FileError, match="has sums with a different value of precision"):
        fit(coarse, people, recipe=RECIPE, folder=tmp_path)


def test_parts_of_several_processes_add_up(random_vgg, people, fitted, tmp_path, monkeypatch):
    fit(random_vgg, people, recipe=RECIPE, folder=tmp_path, share=Share(0, 2))
    # By default, the share is that of processes which JAX has joined.
    monkeypatch.setattr("jax.process_count", lambda: 2)
    monkeypatch.setattr("jax.process_index", lambda: 1)
    fit(random_vgg, people, recipe=RECIPE, folder=tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"part-{number}-of-2.safetensors" for number in (1, 2)]
    found = FittedDataset.load(tmp_path)
    assert found.origin.total == 53
    expected = fitted.vector("Smiling").features
    for name, layer in found.vector("Smiling").features.items():
        np.testing.assert_allclose(layer, expected[name], atol=1e-3)
    (tmp_path / "part-2-of-2.safetensors").unlink()
    with pytest.raises(FileError, match="has 1 parts of 2"):
        FittedDataset.load(tmp_path)
    fitted.save(tmp_path)
    with pytest.raises(FileError, match="has parts of 1 and of 2, from runs with different"):
        FittedDataset.load(tmp_path)


def test_a_process_without_an_image_has_a_part_all_the_same(random_vgg, people, tmp_path):
    for i in range(3):
        fit(random_vgg, people, recipe=RECIPE, rows=[4, 9], folder=tmp_path, share=Share(i, 3))
    found = FittedDataset.load(tmp_path)
    np.testing.assert_allclose(found.scores, np.clip(people.scores[[4, 9]], -3, 3))


def test_a_group_has_only_its_images(random_vgg, people, tmp_path):
    on, off = thresholded(people.scores)
    column = people.attributes.index("Smiling")
    smiling = fit(random_vgg, people, recipe=RECIPE, where="+smiling")
    serious = fit(random_vgg, people, recipe=RECIPE, where="-Smiling")
    assert len(smiling.scores) == on[:, column].sum()
    assert len(serious.scores) == off[:, column].sum()
    both = FittedDataset.merge([smiling, serious])
    assert len(both.scores) == len(smiling.scores) + len(serious.scores)
    assert both.origin.where == "+Smiling or -Smiling"
    with pytest.raises(InputError, match="two parts are of the same images"):
        FittedDataset.merge([smiling, serious, smiling])
    with pytest.raises(InputError, match="no fitted dataset to add up"):
        FittedDataset.merge([])
    for where, message in (
        ("Smiling", r"has no sign; give \+Smiling"),
        ("+Smiling,-Smiling", "no image of synthetic"),
    ):
        with pytest.raises(InputError, match=message):
            fit(random_vgg, people, recipe=RECIPE, where=where)


def test_what_a_fitted_dataset_cannot_answer_is_rejected(random_vgg, people, fitted, tmp_path):
    with pytest.raises(InputError, match="did you mean Smiling"):
        fitted.vector("Smilling")
    with pytest.raises(InputError, match=r"fit the dataset with where='\+Smiling'"):
        fitted.vector("Eyeglasses,+Smiling")
    for twice in ("Smiling,~Smiling", "smiling,Eyeglasses,Smiling"):
        with pytest.raises(InputError, match="names Smiling twice"):
            fitted.vector(twice)
    for penalty in (-1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="give a finite number from 0"):
            fitted.vector("Smiling", penalty=penalty)
    with pytest.raises(InputError, match="hold is 'Young'; give a list of names"):
        fitted.vector("Smiling", hold="Young")
    with pytest.raises(FileError, match="has no fitted dataset"):
        FittedDataset.load(tmp_path)
    (tmp_path / "part-1-of-1.safetensors").write_text("nothing")
    with pytest.raises(FileError, match="can't be read as a fitted dataset"):
        FittedDataset.load(tmp_path)
    for field, value in (
        ("scores", fitted.scores[:, 1:]),
        ("scores", np.full_like(fitted.scores, np.nan)),
        ("squares", {name: layer[1:] for name, layer in fitted.squares.items()}),
        ("origin", dataclasses.replace(fitted.origin, total=1)),
    ):
        dataclasses.replace(fitted, **{field: value}).save(tmp_path)
        with pytest.raises(FileError, match="can't be read as a fitted dataset"):
            FittedDataset.load(tmp_path)
    no_scores = synthetic.load(12, size=16)
    object.__setattr__(no_scores, "attributes", ())
    with pytest.raises(InputError, match="no attribute scores"):
        fit(random_vgg, no_scores, recipe=RECIPE)
    scores = people.scores.copy()
    scores[4, 2] = np.nan
    unknown = dataclasses.replace(people, scores=scores)
    for learn in (
        lambda: fit(random_vgg, unknown, recipe=RECIPE),
        lambda: probes.fit(random_vgg, unknown),
        lambda: fit_judge(unknown, range(53)),
    ):
        with pytest.raises(InputError, match="synthetic has scores that aren't finite"):
            learn()
    few = fit(random_vgg, synthetic.load(12, size=16), recipe=RECIPE)
    with pytest.raises(InputError, match="at least 10 images have it"):
        few.vector("Smiling")


def test_a_vector_moves_its_own_attribute_by_one_and_held_ones_hardly(random_vgg, people, fitted):
    vector = fitted.vector("Smiling", penalty=0.0, shrinkage=Wiener(strength=0.0))
    moved = fitted.movements(vector)
    assert moved.pop("Smiling") == pytest.approx(1, abs=1e-3)
    assert max(map(abs, moved.values())) < 1e-3
    other = small_recipe(size=24, layers=("conv1_2", "conv2_1"))
    with pytest.raises(InputError, match="was made with size 16"):
        fit(random_vgg, people, recipe=other).movements(vector)


def test_an_edit_with_a_fitted_dataset_computes_no_means(random_vgg, people, tmp_path):
    recipe = RECIPE.set({"solver.iterations": "2"})
    seen = []
    cache = Cache(tmp_path)
    editor = Editor(recipe=recipe, weights=random_vgg, cache=cache)
    fitted, face = editor.fit(people), np.repeat(np.repeat(people.face(0, 16), 3, 0), 3, 1)
    edit = editor.edit(face, "~Smiling", dataset=fitted, face="whole", on_progress=seen.append)
    # No image of the dataset is read.
    phases = {progress.phase for progress in seen}
    assert phases == {"opening the photo", "compiling", "reconstruction"}
    assert edit.record["selections"] == []
    assert edit.record["vector"]["penalty"] == 0.1
    assert edit.record["vector"]["attributes"] == ["~Smiling"]
    expected = fitted.vector("~Smiling", shrinkage=recipe.shrinkage)
    again = editor.edit(face, expected, face="whole")
    np.testing.assert_array_equal(edit.faces, again.faces)


def test_a_fitted_dataset_has_no_nearness(people, fitted):
    with pytest.raises(InputError, match="omit it, because a fitted dataset has one vector"):
        Job(photo=people.face(0, 16), attribute="Smiling", dataset=fitted, near=near.Pixels())
    with pytest.raises(InputError, match="k is 5 and the dataset is fitted"):
        Job(photo=people.face(0, 16), attribute="Smiling", dataset=fitted, k=5)
    with pytest.raises(InputError, match="doesn't exist"):
        fitted.check("Taller")
