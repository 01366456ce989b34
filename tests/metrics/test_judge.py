import dataclasses

import numpy as np
import pytest

from dfi_jax import InputError, load_dataset
from dfi_jax.metrics import alexnet
from dfi_jax.metrics.judge import fit_judge


@pytest.fixture(scope="module")
def people():
    return load_dataset("synthetic:90")


def test_typical_faces_are_at_0_and_at_1(people):
    judge = fit_judge(people, range(60))
    strangers = np.stack([people.face(i, 200) for i in range(60, 90)])
    positions = judge.positions(strangers)
    column = judge.attributes.index("Eyeglasses")
    on = people.scores[60:, people.attributes.index("Eyeglasses")] > 0
    # 30 faces with a spread of about 1 have means within about 0.5.
    assert positions[on, column].mean() == pytest.approx(1, abs=0.5)
    assert positions[~on, column].mean() == pytest.approx(0, abs=0.5)
    assert judge.auc[column] > 0.7


def test_rare_attributes_arent_judged(people):
    rare = people.scores.copy()
    rare[:, 0] = -1
    rare[:5, 0] = 1
    judge = fit_judge(dataclasses.replace(people, scores=rare), range(40))
    assert people.attributes[0] not in judge.attributes


def test_a_judge_needs_images_and_people(people):
    with pytest.raises(InputError, match="fewer than 5 people"):
        fit_judge(people, range(3))
    with pytest.raises(InputError, match="no attribute of synthetic is present in 10"):
        fit_judge(people, range(12))


def test_faces_of_any_size_are_described_alike(people):
    small, large = (alexnet.describe(people.face(0, size)[None]) for size in (150, 200))
    assert small.shape == large.shape == (1, 14400)
    assert np.corrcoef(small[0], large[0])[0, 1] > 0.9
