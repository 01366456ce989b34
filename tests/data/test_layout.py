import pytest

from dfi_jax.data.layout import require
from dfi_jax.errors import FileError


def test_what_is_missing_is_looked_for_nearby(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "table.txt").touch()
    found = require(tmp_path / "inner", "other.txt", "table.txt")
    assert found == tmp_path / "inner" / "table.txt"
    message = f"has no table.txt; give {tmp_path / 'inner'}, which has it"
    with pytest.raises(FileError, match=message):
        require(tmp_path, "table.txt")
    (tmp_path / "table.txt.gz").touch()
    with pytest.raises(FileError, match=r"unpack table\.txt\.gz there"):
        require(tmp_path, "table.txt")
    with pytest.raises(FileError, match="doesn't exist; give the folder that holds a or b"):
        require(tmp_path / "absent", "a", "b")
