import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfi_jax.vectors import ridge


def test_ridge_solves_the_normal_equations():
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, (40, 70)), rng.normal(size=(40, 3))
    fitted = ridge._solver(x, y)(7.0)
    weights, mean, deviation, intercept, _ = fitted
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    normal = standard.T @ standard + 7.0 * np.eye(70)
    expected = np.linalg.solve(normal, standard.T @ (y - y.mean(axis=0)))
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    np.testing.assert_allclose((x - mean) / deviation, standard)
    np.testing.assert_allclose(intercept, y.mean(axis=0))
    np.testing.assert_allclose(fitted.predict(x), standard @ expected + y.mean(axis=0), atol=1e-5)


@given(seed=st.integers(0, 1000), n=st.integers(2, 30))
def test_auc_is_the_share_of_pairs_in_the_right_order(seed, n):
    rng = np.random.default_rng(seed)
    predicted, truth = rng.integers(0, 6, n).astype(float), rng.random(n) < 0.5
    pairs = [(a > b) + (a == b) / 2 for a in predicted[truth] for b in predicted[~truth]]
    found = ridge.auc(predicted, truth)
    assert np.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs))


def test_predictions_for_people_left_out_dont_see_their_own_scores():
    rng = np.random.default_rng(1)
    x, people = rng.normal(size=(60, 5)), np.repeat(np.arange(20), 3)
    y = x[:, :1] + 0.1 * rng.normal(size=(60, 1))
    _, before = ridge.fit_ridge(x, y, people)
    changed = y.copy()
    changed[people == 7] += 100
    _, after = ridge.fit_ridge(x, changed, people)
    np.testing.assert_array_equal(after[people == 7], before[people == 7])


def test_the_penalty_is_that_of_the_smallest_error_for_people_left_out():
    rng = np.random.default_rng(2)
    x, people = rng.normal(size=(80, 300)), np.repeat(np.arange(40), 2)
    clear = x[:, :3] @ rng.normal(size=(3, 1)) + 0.01 * rng.normal(size=(80, 1))
    noise = rng.normal(size=(80, 1))
    found = {}
    for name, y in (("clear", clear), ("noise", noise)):
        fitted, left_out = ridge.fit_ridge(x, y, people)
        found[name] = fitted.penalty
        # The error for people left out, of the fit with the penalty that was chosen.
        assert np.mean((left_out - y) ** 2) <= 1.05 * np.var(y)
    # Nothing predicts noise better than its mean, which a large penalty amounts to.
    assert found["noise"] == max(ridge.PENALTIES)
    assert found["clear"] < max(ridge.PENALTIES)


def test_the_choice_of_the_penalty_depends_on_no_score_s_unit_and_origin():
    rng = np.random.default_rng(3)
    x, people = rng.normal(size=(60, 200)), np.arange(60)
    clear = x[:, :3] @ rng.normal(size=(3, 1))
    y = np.concatenate([clear, rng.normal(size=(60, 9))], axis=1)
    chosen = [
        ridge.fit_ridge(x, y * factor + offset, people)[0].penalty
        for factor, offset in ((1, 0), ([1] + [1000] * 9, 0), ([1e-3] + [1] * 9, [0] + [50] * 9))
    ]
    assert chosen == [chosen[0]] * 3
    assert min(ridge.PENALTIES) < chosen[0] < max(ridge.PENALTIES)
