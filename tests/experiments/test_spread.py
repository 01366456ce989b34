"""Why photos move by different amounts: the statistics of gains."""

import numpy as np
import pytest
import spread


def test_a_spread_is_the_standard_deviation_over_the_mean():
    assert spread.relative_spread(np.array([1.0, 3.0])) == pytest.approx(0.5)


def test_what_does_not_vary_correlates_with_nothing():
    assert spread.correlate(np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.0, 8.0])) == pytest.approx(
        1
    )
    assert spread.correlate(np.array([1.0, 2.0, 4.0]), np.ones(3)) == 0
