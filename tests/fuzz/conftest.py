import pytest

pytest.register_assert_rewrite("fuzz.dataset_readers", "fuzz.readers")
