import pytest

pytest.register_assert_rewrite("fuzz.readers")
