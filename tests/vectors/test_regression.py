import numpy as np
import pytest

from dfi_jax import InputError
from dfi_jax.vectors.regression import decompose, regress

N, SHAPE = 60, (2, 3, 4)


@pytest.fixture(scope="module")
def data():
    """Scores of 60 images for four attributes, two of which go together, and random features."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(N, 4))
    scores[:, 1] += 0.8 * scores[:, 0]
    slopes = rng.normal(size=(4, *SHAPE))
    phi = 3 + np.tensordot(scores, slopes, 1) + rng.normal(size=(N, *SHAPE))
    return scores, phi, slopes


def add_up(scores, phi):
    design = np.column_stack([np.ones(len(scores)), scores])
    return {"layer": np.tensordot(design.T, phi, 1)}, {"layer": np.sum(phi**2, axis=0)}


def ordinary(scores, phi, columns):
    """Coefficients and their standard errors by NumPy's least squares on the images themselves."""
    design = np.column_stack([np.ones(len(scores)), scores[:, columns]])
    flat = phi.reshape(len(phi), -1)
    found, _, _, _ = np.linalg.lstsq(design, flat, rcond=None)
    variance = np.sum((flat - design @ found) ** 2, axis=0) / (len(design) - design.shape[1])
    covariance = np.linalg.inv(design.T @ design)
    return found[1:], np.sqrt(np.diag(covariance)[1:, None] * variance)


@pytest.mark.parametrize("held", [[], [1], [1, 2, 3]])
def test_coefficients_and_standard_errors_are_those_of_least_squares_on_the_images(data, held):
    scores, phi, _ = data
    w, variance = regress(scores, *add_up(scores, phi), [0], held, np.array([2.0]), penalty=0.0)
    slopes, errors = ordinary(scores, phi, [0, *held])
    np.testing.assert_allclose(w["layer"].reshape(-1), 2 * slopes[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        np.sqrt(variance["layer"]).reshape(-1), 2 * errors[0], rtol=1e-4, atol=1e-6
    )


def test_standard_errors_survive_float32_if_attributes_go_together():
    # Scores of rare attributes lie far from 0, as a group, and those of synonyms are nearly equal.
    rng = np.random.default_rng(3)
    scores = -2 + rng.normal(size=(200, 1)) + 0.05 * rng.normal(size=(200, 12))
    phi = 3 + rng.normal(size=(200, *SHAPE))
    sums = [{"layer": part["layer"].astype(np.float32)} for part in add_up(scores, phi)]
    _, variance = regress(scores, *sums, [0], range(1, 12), np.ones(1), penalty=0.0)
    _, errors = ordinary(scores, phi, list(range(12)))
    found = np.sqrt(variance["layer"]).reshape(-1)
    # With the product with Q in float32, they are off by 4e-3.
    np.testing.assert_allclose(found, errors[0], rtol=1e-5)


def test_several_attributes_add_up(data):
    scores, phi, _ = data
    sums = add_up(scores, phi)
    both, _ = regress(scores, *sums, [0, 2], [1, 3], np.array([1.5, -2.0]), penalty=0.0)
    slopes, _ = ordinary(scores, phi, [0, 2, 1, 3])
    expected = 1.5 * slopes[0] - 2 * slopes[1]
    np.testing.assert_allclose(both["layer"].reshape(-1), expected, rtol=1e-4, atol=1e-5)


def test_a_penalty_leads_from_all_held_to_none_held(data):
    scores, phi, _ = data
    sums = add_up(scores, phi)
    found = [
        np.asarray(regress(scores, *sums, [0], [1], np.array([1.0]), penalty=p)[0]["layer"])
        for p in (0.0, 0.3, 1e9)
    ]
    all_held, _ = ordinary(scores, phi, [0, 1])
    none_held, _ = ordinary(scores, phi, [0])
    np.testing.assert_allclose(found[0].reshape(-1), all_held[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[2].reshape(-1), none_held[0], rtol=1e-4, atol=1e-5)
    assert np.linalg.norm(found[1] - found[0]) < np.linalg.norm(found[2] - found[0])


@pytest.mark.parametrize("penalty", [1e15, 1e300])
def test_a_huge_penalty_holds_nothing(data, penalty):
    scores, phi, _ = data
    sums = add_up(scores, phi)
    free, _ = regress(scores, *sums, [0], [1, 2], np.array([1.0]), penalty=penalty)
    expected, _ = ordinary(scores, phi, [0])
    np.testing.assert_allclose(free["layer"].reshape(-1), expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_a_vector_does_not_depend_on_the_unit_of_the_scores(data, unit):
    scores, phi, _ = data
    for penalty in (0.0, 0.1):
        options = {"columns": [0], "held": [1, 2], "penalty": penalty}
        found, expected = (
            regress(u * scores, *add_up(u * scores, phi), slopes=np.array([u]), **options)
            for u in (unit, 1.0)
        )
        for mine, one in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine["layer"], one["layer"], rtol=1e-4, atol=1e-6)


def test_an_attribute_that_all_images_have_changes_nothing(data):
    scores, phi, _ = data
    everybody = np.column_stack([scores, np.ones(N)])
    for penalty in (0.0, 0.1):
        options = {"columns": [0], "slopes": np.ones(1), "penalty": penalty}
        found, _ = regress(everybody, *add_up(everybody, phi), held=[1, 4], **options)
        expected, _ = regress(scores, *add_up(scores, phi), held=[1], **options)
        np.testing.assert_allclose(found["layer"], expected["layer"], rtol=1e-5, atol=1e-6)


def test_the_noise_of_a_vector_from_fewer_images_than_attributes_is_known_or_an_error_says_so():
    # A penalty leaves residuals, although 40 attributes and a mean could explain 30 images.
    rng = np.random.default_rng(2)
    scores, phi = rng.normal(size=(30, 40)), rng.normal(size=(30, 20, 20, 4))
    arguments = scores, *add_up(scores, phi), [0], range(1, 40), np.ones(1)
    w, variance = regress(*arguments, penalty=0.1)
    # There is nothing in w but noise.
    assert float(variance["layer"].mean()) == pytest.approx(float(w["layer"].var()), rel=0.1)
    with pytest.raises(InputError, match="30 images can't tell 40 attributes apart; hold fewer"):
        regress(*arguments, penalty=0.0)


def test_standard_errors_cover_the_truth_as_often_as_they_should():
    # Of 600 activations without the attribute, about 5 % are beyond 1.96 standard errors.
    rng = np.random.default_rng(1)
    scores, phi = rng.normal(size=(40, 2)), rng.normal(size=(40, 10, 10, 6))
    w, variance = regress(scores, *add_up(scores, phi), [0], [1], np.array([1.0]), penalty=0.1)
    beyond = np.abs(w["layer"]) > 1.96 * np.sqrt(variance["layer"])
    assert 0.03 < beyond.mean() < 0.08


def test_a_vector_is_decomposed_into_the_attributes_that_it_is_made_of(data):
    scores, phi, _ = data
    sums = add_up(scores, phi)
    slopes, _ = ordinary(scores, phi, [0, 1, 2, 3])
    made_of = np.array([0.5, 0.0, -1.0, 0.25])
    w = {"layer": (made_of @ slopes).reshape(SHAPE)}
    np.testing.assert_allclose(decompose(scores, *sums, [0, 1, 2, 3], w), made_of, atol=1e-4)


def test_a_decomposition_is_that_of_generalised_least_squares(data):
    scores, phi, _ = data
    w = np.random.default_rng(2).normal(size=SHAPE)
    slopes, errors = ordinary(scores, phi, [0, 1, 2, 3])
    scale = errors[0]  # It is proportional to the deviation of each activation's residuals.
    expected, _, _, _ = np.linalg.lstsq((slopes / scale).T, w.reshape(-1) / scale, rcond=None)
    found = decompose(scores, *add_up(scores, phi), [0, 1, 2, 3], {"layer": w})
    np.testing.assert_allclose(found, expected, atol=1e-4)
