import json

import numpy as np
import pytest
from commands import fails, succeeds
from PIL import Image

from dfi_jax import load_dataset
from dfi_jax.photo.photo import read
from dfi_jax.report.sheet import contact_sheet

pytestmark = pytest.mark.usefixtures("without_faces")

RANDOM = ["--weights", "random-vgg16", "--face", "whole"]


@pytest.fixture
def pair(tmp_path):
    """The dataset of a folder of black pictures and a folder of white ones."""
    for name, level in (("black", 0), ("white", 255)):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (40, 40), (level, level, level)).save(tmp_path / name / f"{i}.png")
    return f"pair:{tmp_path / 'black'}:{tmp_path / 'white'}"


def test_a_sheet_shows_the_photo_both_means_and_both_sets(photo, pair, tmp_path, monkeypatch):
    out, shown = tmp_path / "out", []

    def draw(images, labels, **options):
        shown.extend(labels)
        return contact_sheet(images, labels, **options)

    monkeypatch.setattr("dfi_jax.cli.dataset.contact_sheet", draw)
    options = ["--dataset", pair, "--k", "2", "--sheet", "-o", out]
    printed = succeeds("select", photo, "Target", *options, *RANDOM).split()
    assert printed == [str(out / name) for name in ("source.txt", "target.txt", "sheet.png")]
    sheet = read(out / "sheet.png")
    rows, columns = ((np.arange(n) * step + 180) for n, step in ((3, 338), (3, 308)))
    middles = sheet[np.ix_(rows, columns)][..., 0]
    photo_mean, without, with_ = middles[0]
    assert 0 < photo_mean < 1
    assert (without, with_) == (0, 1)
    assert middles[1, :2].tolist() == [0, 0]
    assert middles[2, :2].tolist() == [1, 1]
    labels = np.reshape(shown, (3, 10))
    assert labels[0, :3].tolist() == ["photo", "mean of 2 without", "mean of 2 with"]
    assert labels[1, :2].tolist() == ["without 1", "without 2"]
    assert labels[2, :2].tolist() == ["with 1", "with 2"]


def test_a_folder_that_is_named_after_a_photo_of_a_long_name_has_a_shorter_one(tmp_path):
    sentence = fails("select", tmp_path / f"{'x' * 250}.jpg", "Smiling", "--dataset", "nowhere:x")
    assert "'nowhere:x' isn't of a known kind" in sentence


def test_a_path_that_a_list_cannot_hold_is_rejected(photo, tmp_path):
    for name in ("black", "line\nbreak"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (40, 40)).save(tmp_path / name / "0.png")
    spec = f"pair:{tmp_path / 'black'}:{tmp_path / chr(10).join(('line', 'break'))}"
    options = ["--dataset", spec, "--k", "1", "-o", tmp_path / "out", *RANDOM]
    assert "rename the file or its folder" in fails("select", photo, "Target", *options)


def test_the_scores_of_a_photo_in_the_dataset_are_shown_beside_the_estimates(lfw_folder):
    dataset = load_dataset(f"lfw:{lfw_folder}")
    photo = dataset.folder / dataset.names[0]
    options = ["--dataset", f"lfw:{lfw_folder}", "--weights", "random-vgg16"]
    lines = succeeds("attributes", photo, *options).splitlines()[-4:]
    shown = {line.rsplit(maxsplit=3)[0]: float(line.split()[-1]) for line in lines}
    for name, score in zip(dataset.attributes, dataset.scores[0], strict=True):
        assert shown[name] == pytest.approx(score, abs=0.01)
    found = json.loads(succeeds("attributes", photo, *options, "--json"))
    for name, score in zip(dataset.attributes, dataset.scores[0], strict=True):
        assert found[name]["in the dataset"] == pytest.approx(score)
        assert found[name]["estimate"] != found[name]["in the dataset"]
    assert found["Male"]["auc"] is None  # All faces have the attribute.
    assert 0 <= found["Smiling"]["auc"] <= 1


def test_an_attribute_that_all_faces_have_has_no_auc(lfw_folder, photo):
    lines = succeeds("attributes", photo, "--dataset", f"lfw:{lfw_folder}", *RANDOM).splitlines()
    reliability = {line.rsplit(maxsplit=2)[0]: line.split()[-1] for line in lines[-4:]}
    assert reliability["Male"] == "–"
    assert 0 <= float(reliability["Smiling"]) <= 1
