import numpy as np

from dfi_jax.data.admission import confident, thresholded


def test_the_thresholds_are_those_of_the_article():
    column = np.array([[0.5], [0.49], [-0.5], [-0.51]], np.float32)
    on, off = thresholded(column)
    assert on.ravel().tolist() == [True, False, False, False]
    assert off.ravel().tolist() == [False, False, False, True]


def test_the_confident_are_the_upper_two_thirds_of_each_sign():
    column = np.array([[1], [2], [3], [4], [5], [6], [-1], [-2], [-3], [0]], np.float32)
    on, off = confident(column)
    assert column[on].tolist() == [3, 4, 5, 6]
    assert column[off].tolist() == [-2, -3]
    flags = np.array([[1], [1], [-1], [1]], np.float32)
    on, off = confident(flags)
    assert on.ravel().tolist() == [True, True, False, True]
    assert off.ravel().tolist() == [False, False, True, False]
