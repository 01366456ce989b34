from commands import fails, succeeds

from dfi_jax import Cache


def sizes():
    return {line.split()[0]: line.split()[3] for line in succeeds("cache", "info").splitlines()}


def test_downloaded_weights_are_only_deleted_if_named():
    for kind in ("means", "weights"):
        folder = Cache().folder / kind
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(bytes(300_000))
    assert (sizes()["means"], sizes()["weights"]) == ("0.3", "0.3")
    assert "0.3 MB" in succeeds("cache", "clear")
    assert (sizes()["means"], sizes()["weights"]) == ("0.0", "0.3")
    succeeds("cache", "clear", "weights")
    assert sizes()["weights"] == "0.0"


def test_an_unknown_kind_is_one_sentence():
    assert "choose from means" in fails("cache", "clear", "dreams")
