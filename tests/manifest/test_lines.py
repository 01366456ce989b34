import pytest
from commands import fails
from manifests import batch, write

from dfi_jax import RULES, DfiError, InputError, Rule, load_dataset, near
from dfi_jax.data import folders
from dfi_jax.manifest import check_files, read_manifest

pytestmark = pytest.mark.usefixtures("without_faces")


def test_a_byte_order_mark_and_blank_lines_are_skipped(folder):
    text = (folder / "jobs.jsonl").read_text().replace("\n", "\r\n\r\n")
    (folder / "jobs.jsonl").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(read_manifest(folder / "jobs.jsonl")) == 3


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2: it isn't JSON"),
        ("[]", "line 2: give an object"),
        ({"photo": "me.png"}, "line 2: photo or attribute is missing"),
        ({"photo": "me.png", "attribute": "a", "alpha": 1}, "the field 'alpha' is unknown"),
        ({"photo": "me.png", "attribute": 3}, "attribute is 3; give text"),
        ({"photo": "me.png", "attribute": "a", "alphas": 1}, "alphas is 1; give a list"),
        ({"photo": "me.png", "attribute": "a", "alphas": ["x"]}, "give a list of numbers"),
        ({"photo": "me.png", "attribute": "a", "alphas": []}, "alphas is empty"),
        ({"photo": "me.png", "attribute": "a", "alphas": [0.1, 0.1]}, "alpha 0.1 is given twice"),
        ({"photo": "me.png", "attribute": "a", "alphas": [10**400]}, "alphas has a number that is"),
        ({"photo": "me.png", "attribute": "a", "face": [1, 2]}, "give a box as four integers"),
        ({"photo": "me.png", "attribute": "a", "face": "nose"}, "'nose'"),
        ({"photo": "me.png", "attribute": "a", "face": True}, "face is True"),
        ({"photo": "me.png", "attribute": "a", "face": 0}, "'0'"),
        ({"photo": "me.png", "attribute": "a", "mask": ""}, "mask is empty"),
        ({"photo": "me.png", "attribute": "a", "finer": [""]}, "finer is ['']; give a list of"),
        ({"photo": "me.png", "attribute": "a", "points": 6}, "points is 6; give 5 or 68"),
        ({"photo": "me.png", "attribute": "a", "points": True}, "points is True; give a number"),
        ({"photo": "me.png", "attribute": "a", "warp": 1}, "warp is 1; give true or false"),
        ({"photo": "me.png", "attribute": "a", "k": 0}, "k is 0; give 1 or more"),
        ({"photo": "me.png", "attribute": "a", "near": "home"}, "'home'"),
        ({"photo": "me.png", "attribute": "a", "dataset": 3}, "dataset is 3; give text"),
        ({"photo": "me.png", "attribute": "a", "dataset": "lfw:"}, "'lfw:' isn't of a known kind"),
        ({"photo": "me.png", "attribute": "a", "dataset": "lfw:no\0"}, "doesn't exist"),
        ({"photo": "me.png", "attribute": "a", "dataset": "lfw:~\0/"}, "doesn't exist"),
        ({"photo": "me.png", "attribute": "a", "dataset": "pair:\0:b"}, "doesn't exist"),
        ({"photo": "me.png", "attribute": "a", "dataset": "fitted:x"}, "x has no fitted dataset"),
        ({"photo": "me.png", "attribute": "a", "dataset": f"folder:{'x' * 300}"}, "doesn't exist"),
        ({"photo": "me.png", "attribute": "a", "dataset": f"fitted:{'x' * 300}"}, "name too long"),
        ({"photo": "me.png", "attribute": "a", "rule": "mine"}, "the rule 'mine' doesn't exist"),
        ('{"photo": "a", "photo": "b", "attribute": "a"}', "the field 'photo' is given twice"),
        ({"photo": "me.png", "attribute": "a", "name": "a/b"}, "give the name of a folder"),
        ({"photo": "me.png", "attribute": "a", "name": ".."}, "give the name of a folder"),
        ({"photo": "me.png", "attribute": "a", "name": "a\0"}, "give the name of a folder"),
        ({"photo": "me.png", "attribute": "a", "name": "\ud800"}, "give the name of a folder"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(folder, line, sentence):
    write(folder, {"photo": "you.png", "attribute": "older"}, line)
    with pytest.raises(DfiError) as error:
        read_manifest(folder / "jobs.jsonl")
    assert "line 2" in str(error.value)
    assert sentence in str(error.value)


def test_a_photo_that_no_file_can_be_is_reported_like_a_missing_one(folder):
    names = ["x" * 5000, "\0", "\ud800", "~\0/me.png", "~\ud800/me.png"]
    jobs = [{"photo": name, "attribute": "older", "name": str(i)} for i, name in enumerate(names)]
    failures = [outcome.failure for outcome in check_files(read_manifest(write(folder, *jobs)))]
    assert len(failures) == 5
    assert all(failure.endswith("doesn't exist; check the path.") for failure in failures)
    assert all(failure.isprintable() and len(failure) < 1000 for failure in failures)


def test_a_line_s_own_options_come_before_those_of_the_command(folder):
    line = {"photo": "me.png", "attribute": "older"}
    own = {"points": 68, "warp": True, "rule": "paper", "near": "pixels", "k": 7}
    write(folder, line, line | own | {"name": "own"}, line | {"dataset": "", "name": "starter"})
    shared, other, starter = read_manifest(
        folder / "jobs.jsonl", dataset=load_dataset("synthetic:3"), near=near.scores, k=30
    )
    assert (shared.points, shared.warp, shared.near, shared.k) == (5, False, near.scores, 30)
    assert (other.points, other.warp, other.near, other.k) == (68, True, near.pixels, 7)
    assert shared.resolved_rule == Rule(near=near.scores, k=30)
    assert other.resolved_rule == RULES["paper"].replace(near=near.pixels, k=7)
    assert starter.resolved_rule == Rule()
    with pytest.raises(InputError, match="k is 30 and there is no dataset"):
        read_manifest(write(folder, line), k=30)


def test_a_line_s_own_dataset_is_relative_to_the_manifest_and_loaded_once(
    folder, pair, monkeypatch
):
    loaded = []
    load = folders.load_pair
    monkeypatch.setattr(folders, "load_pair", lambda *paths: loaded.append(paths) or load(*paths))
    line = {"photo": "me.png", "attribute": "Target", "face": "whole"}
    own = [
        {"dataset": "pair:without:with", "name": "a"},
        {"dataset": "pair:without:with", "name": "b"},
        {"dataset": "crop:0,0,20,20:pair:without:other/with", "name": "c"},
        {"dataset": "synthetic:5", "name": "d"},
        {"dataset": "", "attribute": "older", "name": "e"},
        {"name": "f"},
    ]
    shared = load_dataset("synthetic:3")
    jobs = read_manifest(write(folder, *(line | each for each in own)), dataset=shared)
    a, b, c, d, e, f = (job.dataset for job in jobs)
    assert a is b
    assert loaded == [(pair / "without", pair / name) for name in ("with", "other/with")]
    assert (len(a), c.crop, len(d), e, f) == (24, (0, 0, 20, 20), 5, None, shared)
    write(folder, line | own[0], line | own[3])  # Only the first has the attribute.
    assert fails(*batch(folder)).startswith("dfi: d: the attribute 'Target' doesn't exist")


def test_a_line_of_nested_brackets_is_not_json(folder):
    write(folder, "[" * 100_000)
    with pytest.raises(InputError, match="line 1: it isn't JSON"):
        read_manifest(folder / "jobs.jsonl")


def test_a_manifest_that_cannot_be_read_is_one_sentence(folder, monkeypatch):
    assert "is a folder; give a file" in fails("batch", folder, "-o", folder / "out")
    (folder / "utf-16.jsonl").write_text('{"photo": "me.png"}', encoding="utf-16")
    sentence = fails("batch", folder / "utf-16.jsonl", "-o", folder / "out")
    assert "line 1, isn't UTF-8 text; save the file in that encoding" in sentence
    with monkeypatch.context() as patch:
        patch.setattr("dfi_jax.storage.text.LARGEST", 1_000_000)
        sentence = fails("batch", "/dev/zero", "-o", folder / "out")
    assert "/dev/zero is larger than 0.001 GB; give a file of text" in sentence
    write(folder, "")
    assert "is empty; write a line for each photo" in fails(*batch(folder))
    line = {"photo": "me.png", "attribute": "older"}
    write(folder, line, line)
    assert "has 2 jobs with the name me-older" in fails(*batch(folder))
    write(folder, line | {"name": "Ann"}, line | {"name": "ann"})
    assert "with the names Ann and ann, which are the same folder on" in fails(*batch(folder))
    write(folder, line)
    assert "batch_size is 0" in fails(*batch(folder, "--batch-size", "0"))


def test_an_unknown_attribute_is_named_before_anything_is_made(folder):
    write(folder, *({"photo": "me.png", "attribute": name} for name in ("older", "taller")))
    sentence = fails(*batch(folder))
    assert "me-taller: the package has no vector of the attribute 'taller'" in sentence
    assert not (folder / "out").exists()
