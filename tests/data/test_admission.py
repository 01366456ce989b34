import numpy as np

from dfi_jax.data.admission import confidence_thresholds, thresholded


def test_the_thresholds_are_those_of_the_article():
    column = np.array([[0.5], [0.49], [-0.5], [-0.51]], np.float32)
    on, off = thresholded(column)
    assert on.ravel().tolist() == [True, False, False, False]
    assert off.ravel().tolist() == [False, False, False, True]


def test_without_a_threshold_the_sign_decides():
    on, off = thresholded(np.array([[1e-9], [0], [-1e-9]], np.float32), threshold=0.0)
    assert on.ravel().tolist() == [True, False, False]
    assert off.ravel().tolist() == [False, False, True]


def test_the_confident_are_the_upper_two_thirds_of_each_sign():
    column = np.array([[1], [2], [3], [4], [5], [6], [-1], [-2], [-3], [-4], [0]], np.float32)
    on, off = thresholded(column, threshold=0.0, share=2 / 3)
    assert column[on].tolist() == [3, 4, 5, 6]
    assert column[off].tolist() == [-3, -4]  # ⌊8/3⌋ of four.
    flags = np.array([[1], [1], [-1], [1]], np.float32)
    on, off = thresholded(flags, threshold=0.0, share=2 / 3)
    assert on.ravel().tolist() == [True, True, False, True]
    assert not off.any()  # ⌊2/3⌋ of one.


def test_two_thirds_are_whole_numbers_where_they_should_be():
    for n in range(3, 3000, 3):
        column = np.arange(1, n + 1, dtype=np.float32)[:, None]
        assert confidence_thresholds(column)[0] == n / 3 + 1
