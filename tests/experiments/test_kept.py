"""What an experiment keeps in its folder, and takes from there when it is run again."""

import doctest

import kept
import numpy as np


def test_rows_and_arrays_are_made_once_and_come_back_as_they_were(tmp_path):
    made = []
    # As an image whose channels have been turned round, an array needn't be in C order.
    z = np.arange(12, dtype=np.float32).reshape(2, 2, 3)[..., ::-1]

    def make_rows():
        made.append("rows")
        return [{"gain": 0.5, "spread": float("nan"), "name": "φ"}]

    def make_arrays():
        made.append("arrays")
        return {"z": z}

    for _ in range(2):
        (row,) = kept.kept_rows(tmp_path / "a" / "rows.json", make_rows)
        assert (row["gain"], row["name"]) == (0.5, "φ")
        assert np.isnan(row["spread"])
        arrays = kept.kept_arrays(tmp_path / "b" / "z.safetensors", make_arrays)
        np.testing.assert_array_equal(arrays["z"], z)
    assert made == ["rows", "arrays"]


def test_the_examples_in_docstrings_hold():
    assert doctest.testmod(kept).attempted
    assert not doctest.testmod(kept).failed
