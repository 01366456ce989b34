"""TFDS's own builders prepare files made here in temporary folders, without a network."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from dfi_jax.data import lfw, tfds
from dfi_jax.errors import FileError, InputError

tensorflow_datasets = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record.python.array_record_data_source")

NO_DOWNLOAD = tensorflow_datasets.download.DownloadConfig(try_download_gcs=False)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, lfw_folder):
    """A folder in which TFDS keeps `lfw_attributes`."""
    data_dir = tmp_path_factory.mktemp("prepared")
    assert tfds.prepare(lfw_folder, data_dir=data_dir) == data_dir / "lfw_attributes" / "1.0.0"
    return data_dir


def jpeg(i, size):
    return np.random.default_rng(i).integers(0, 255, (*size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def celeb_a(tmp_path_factory):
    """A folder in which TFDS keeps `celeb_a`: six images, in each of three splits in turn."""
    data_dir, files = tmp_path_factory.mktemp("celeb_a"), tmp_path_factory.mktemp("files")
    from tensorflow_datasets.datasets.celeb_a import celeb_a_dataset_builder as published

    names = [f"{i:06d}.jpg" for i in range(6)]
    images = {}
    for i, name in enumerate(names):
        Image.fromarray(jpeg(i, (218, 178))).save(files / name)
        images[name] = (files / name).open("rb")
    tables = {
        "list_eval_partition": [f"{name} {i % 3}" for i, name in enumerate(names)],
        "list_attr_celeba": ["6", " ".join(published.ATTR_HEADINGS)],
        "landmarks_celeba": ["6", " ".join(published.LANDMARK_HEADINGS)],
        "identity_celeba": [f"{name} {100 + i}" for i, name in enumerate(names)],
    }
    for i, name in enumerate(names):
        tables["list_attr_celeba"].append(
            f"{name} " + " ".join("1" if j % 6 == i else "-1" for j in range(40))
        )
        tables["landmarks_celeba"].append(f"{name} " + " ".join(str(10 * i + j) for j in range(10)))
    paths = {name: files / f"{name}.txt" for name in tables}
    for name, lines in tables.items():
        paths[name].write_text("\n".join(lines) + "\n")
    builder = published.Builder(data_dir=data_dir, file_format="array_record")
    builder._split_generators = lambda dl_manager: {
        split: builder._generate_examples(k, paths, images)
        for k, split in enumerate(("train", "validation", "test"))
    }
    builder.download_and_prepare(download_config=NO_DOWNLOAD)
    return data_dir, files


@pytest.fixture(scope="module")
def original_lfw(tmp_path_factory, lfw_folder):
    """A folder in which TFDS keeps `lfw`. TFDS's own code to find the images needs TensorFlow."""
    data_dir = tmp_path_factory.mktemp("original_lfw")
    builder = tensorflow_datasets.builder_cls("lfw")(data_dir=data_dir, file_format="array_record")
    paths = sorted((lfw_folder / "lfw-deepfunneled").glob("*/*.jpg"))
    builder.path_maker = lambda data_path: [[path.parent.name, str(path)] for path in paths]
    builder._split_generators = lambda dl_manager: {"train": builder._generate_examples(None)}
    builder.download_and_prepare(download_config=NO_DOWNLOAD)
    return data_dir


def test_lfw_attributes_are_read_back_as_lfw(prepared, lfw_folder):
    dataset, files = tfds.load("lfw_attributes", data_dir=prepared), lfw.load(lfw_folder)
    assert dataset.name == "tfds:lfw_attributes"
    assert dataset.names == files.names
    assert dataset.attributes == files.attributes
    np.testing.assert_array_equal(dataset.scores, files.scores)
    np.testing.assert_array_equal(dataset.people, files.people)
    assert dataset.crop == files.crop
    assert dataset.folder is None
    for row in (0, 17, 47):
        np.testing.assert_array_equal(dataset.read(row), files.read(row))
        np.testing.assert_array_equal(dataset.face(row, 60), files.face(row, 60))
    rows = np.arange(12)
    batches = list(dataset.batches(rows, size=20, batch=5))
    np.testing.assert_array_equal(
        np.concatenate(batches), np.stack([files.face(row, 20) for row in rows])
    )


def test_any_pipeline_reads_lfw_attributes_without_the_files_or_the_builder(
    prepared, lfw_folder, tmp_path
):
    shutil.copytree(prepared, tmp_path / "moved")
    files = lfw.load(lfw_folder)
    skip = {"image": tensorflow_datasets.decode.SkipDecoding()}
    options = {"split": "train", "data_dir": tmp_path / "moved", "download": False}
    raw = tensorflow_datasets.data_source("lfw_attributes", decoders=skip, **options)
    assert tuple(raw.dataset_info.metadata["attributes"]) == files.attributes
    assert len(raw) == len(files) == 48
    for i, example in enumerate(raw):
        assert example["image"] == (files.folder / files.names[i]).read_bytes()
        assert example["file_name"].decode() == files.names[i]
        assert example["person"].decode() == files.people[i]
        np.testing.assert_array_equal(example["attributes"], files.scores[i])
        assert example["attributes"].dtype == np.float32
    folder = tmp_path / "moved" / "lfw_attributes" / "1.0.0"
    decoded = tensorflow_datasets.builder_from_directory(folder).as_data_source("train")
    np.testing.assert_array_equal(
        decoded[3]["image"], np.asarray(Image.open(files.folder / files.names[3]))
    )


def test_what_is_prepared_is_array_record_and_nothing_else_is_left(prepared):
    assert [path.name for path in prepared.iterdir()] == ["lfw_attributes"]
    names = {path.name for path in (prepared / "lfw_attributes" / "1.0.0").iterdir()}
    data = "lfw_attributes-train.array_record-00000-of-00001"
    assert names == {data, "dataset_info.json", "features.json", "metadata.json"}


def test_a_dataset_that_exists_is_not_prepared_again(prepared, lfw_folder):
    with pytest.raises(FileError, match=r"lfw_attributes/1\.0\.0 already exists; delete it"):
        tfds.prepare(lfw_folder, data_dir=prepared)


def test_a_folder_that_is_not_lfw_is_rejected_and_nothing_is_left(lfw_folder, tmp_path):
    with pytest.raises(FileError, match="absent doesn't exist"):
        tfds.prepare(tmp_path / "absent", data_dir=tmp_path / "out")
    with pytest.raises(FileError, match=f"; give {lfw_folder}, which has it"):
        tfds.prepare(lfw_folder / "lfw-deepfunneled", data_dir=tmp_path / "out")
    broken = tmp_path / "broken"
    shutil.copytree(lfw_folder, broken)
    path = broken / "lfw-deepfunneled" / "Person_Number3" / "Person_Number3_0002.jpg"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FileError, match=r"Person_Number3_0002\.jpg can't be read"):
        tfds.prepare(broken, data_dir=tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_written_is_named(lfw_folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="file can't be written"):
        tfds.prepare(lfw_folder, data_dir=tmp_path / "file")


def test_celeb_a_is_read_with_scores_points_and_people(celeb_a):
    data_dir, files = celeb_a
    dataset = tfds.load("celeb_a", data_dir=data_dir)
    splits = {"train": (0, 3), "validation": (1, 4), "test": (2, 5)}
    assert dataset.names == tuple(f"{split}/{i}" for split in splits for i in range(2))
    assert dataset.attributes == tuple(
        tensorflow_datasets.builder_cls("celeb_a")(data_dir=files).info.features["attributes"]
    )
    assert dataset.crop is None
    for row, name in enumerate(dataset.names):
        i = int(dataset.people[row]) - 100  # TFDS shuffles within a split.
        assert i in splits[name.split("/")[0]]
        np.testing.assert_array_equal(
            dataset.scores[row], [1 if j % 6 == i else -1 for j in range(40)]
        )
        np.testing.assert_array_equal(dataset.landmarks[row].ravel(), 10 * i + np.arange(10))
        expected = np.asarray(Image.open(files / f"{i:06d}.jpg"), np.float32) / 255
        np.testing.assert_array_equal(dataset.read(row), expected)


def test_the_names_are_the_splits_and_numbers_in_tfds(celeb_a):
    data_dir, _ = celeb_a
    dataset = tfds.load("celeb_a", data_dir=data_dir)
    for row, name in enumerate(dataset.names):
        split, i = name.split("/")
        source = tensorflow_datasets.data_source(
            "celeb_a", split=split, data_dir=data_dir, download=False
        )
        np.testing.assert_array_equal(dataset.read(row), source[int(i)]["image"] / np.float32(255))


def test_lfw_has_people_and_no_scores(original_lfw):
    dataset = tfds.load("lfw", data_dir=original_lfw)
    assert len(dataset) == 48
    assert dataset.attributes == ()
    assert dataset.scores.shape == (48, 0)
    assert sorted(dataset.people.tolist()) == sorted(
        f"Person_Number{i}" for i in range(24) for _ in (1, 2)
    )
    assert dataset.face(0, 20).shape == (20, 20, 3)
    assert dataset.crop == (40, 20, 210, 190)


def test_the_latest_version_is_read(original_lfw, tmp_path):
    for version in ("0.1.1", "0.1.10", "0.1.9"):
        shutil.copytree(original_lfw / "lfw" / "0.1.1", tmp_path / "lfw" / version)
        info = tmp_path / "lfw" / version / "dataset_info.json"
        info.write_text(info.read_text().replace("0.1.1", version))
    assert tfds._latest_version("lfw", tmp_path) == tmp_path / "lfw" / "0.1.10"


def test_the_folder_that_the_environment_names_is_read(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert len(tfds.load("lfw_attributes")) == 48


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("celeb_a", r'with tensorflow_datasets\.builder\("celeb_a", file_format="array_record"\)'),
        ("lfw", r"\.download_and_prepare\(\), which needs TensorFlow\."),
        ("lfw_attributes", r"with dfi_jax\.data\.tfds\.prepare\(manual_dir, data_dir=data_dir\)"),
    ],
)
def test_a_dataset_that_is_not_prepared_is_rejected_with_how_to_prepare_it(tmp_path, name, how):
    with pytest.raises(FileError, match=f"{name} holds no prepared dataset; .*{how}"):
        tfds.load(name, data_dir=tmp_path)


def test_the_right_folder_is_suggested(prepared):
    for wrong in (prepared / "lfw_attributes", prepared / "lfw_attributes" / "1.0.0"):
        with pytest.raises(
            FileError, match=f"{wrong} holds no lfw_attributes; give {prepared}, which holds it"
        ):
            tfds.load("lfw_attributes", data_dir=wrong)


def test_a_dataset_prepared_in_another_format_is_rejected(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "copy")
    info = tmp_path / "copy" / "lfw_attributes" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(
        FileError, match="is prepared as tfrecord, not as ArrayRecord; prepare it with"
    ):
        tfds.load("lfw_attributes", data_dir=tmp_path / "copy")


@pytest.mark.parametrize("content", ["{bad", "{}"])
def test_a_damaged_description_is_rejected(prepared, tmp_path, content):
    shutil.copytree(prepared, tmp_path / "copy")
    info = tmp_path / "copy" / "lfw_attributes" / "1.0.0" / "dataset_info.json"
    info.write_text(content)
    with pytest.raises(
        FileError, match=r"dataset_info\.json can't be read .* prepare the dataset again"
    ):
        tfds.load("lfw_attributes", data_dir=tmp_path / "copy")


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_damaged_dataset_is_rejected(prepared, tmp_path, damage):
    shutil.copytree(prepared, tmp_path / "copy")
    (path,) = (tmp_path / "copy").rglob("*.array_record*")
    data = path.read_bytes()
    path.unlink()
    if damage == "short":
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(
        FileError, match=r"lfw_attributes/1\.0\.0 can't be read .*; prepare the dataset again"
    ):
        tfds.load("lfw_attributes", data_dir=tmp_path / "copy")


def test_another_name_is_rejected():
    with pytest.raises(
        InputError, match="tfds:mnist is not known; choose from celeb_a, lfw, lfw_attributes"
    ):
        tfds.load("mnist")


@pytest.mark.parametrize(
    "package", ["tensorflow_datasets", "array_record.python.array_record_data_source"]
)
def test_a_missing_package_is_named_with_its_extra(prepared, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        FileError, match=r"TensorFlow Datasets can't be imported .*pip install 'dfi-jax\[tfds\]'"
    ):
        tfds.load("lfw_attributes", data_dir=prepared)


def test_tensorflow_is_never_imported(prepared, celeb_a, original_lfw):
    for name, data_dir in (
        ("lfw_attributes", prepared),
        ("celeb_a", celeb_a[0]),
        ("lfw", original_lfw),
    ):
        tfds.load(name, data_dir=data_dir).read(0)
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize(
    ("name", "field", "value", "sentence"),
    [
        ("dataset_info.json", "splits", [], r"dataset_info\.json names no splits; prepare"),
        ("metadata.json", "attributes", ["Smiling"] * 3, r"its attributes are \['Smiling', 'Smi"),
    ],
)
def test_a_description_without_splits_or_with_an_attribute_twice_is_rejected(
    prepared, tmp_path, name, field, value, sentence
):
    shutil.copytree(prepared, tmp_path / "copy")
    path = tmp_path / "copy" / "lfw_attributes" / "1.0.0" / name
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(FileError, match=sentence):
        tfds.load("lfw_attributes", data_dir=tmp_path / "copy")
