"""The readers of the package, each with what holds of a file that it accepts."""

import contextlib
import csv
import io
import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from fuzz import containers, mutations, seeds
from PIL import Image

from dfi_jax import (
    AttributeVector,
    Editor,
    FittedDataset,
    InputError,
    Job,
    Photo,
)
from dfi_jax.data import celeba, folders, lfw, tfds
from dfi_jax.editor.record import find_warnings, network_record, vector_record
from dfi_jax.editor.work import work_recipe
from dfi_jax.manifest import check_files, read_manifest, select_unfinished
from dfi_jax.network.weights import formats
from dfi_jax.photo.photo import save
from dfi_jax.storage.files import file_sha256

LINE_END = re.compile(rb"\r\n|\n|\r")


class Reader:
    """A reader of one kind of file.

    Attributes:
      kind: Name in `READERS`.
      mutations: Ways to damage its files.
      contents: Valid files by name, or functions that return them.
    """

    kind = ""
    mutations = mutations.BYTES

    def __init__(self, folder: Path):
        self.folder = folder
        self.contents = {}

    def content(self, name):
        """Returns a valid file."""
        found = self.contents[name]
        if not isinstance(found, bytes):
            found = self.contents[name] = found()
        return found

    def read(self, name, data):
        """Reads a damaged file, and checks what was read. Raises DfiError if it is rejected."""
        raise NotImplementedError


class Photos(Reader):
    mutations = (*mutations.BYTES, *[containers.change_png_chunk] * 4)

    def __init__(self, folder):
        super().__init__(folder)
        self.contents = seeds.photos()

    def read(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        photo = Photo.open(path)
        assert path.read_bytes() == data
        assert photo.pixels.dtype == np.float32
        assert np.isfinite(photo.pixels).all()
        assert 0 <= photo.pixels.min() <= photo.pixels.max() <= 1
        assert all(loss.isprintable() and loss.endswith(".") for loss in photo.losses)
        if photo.pixels.size > 1e5:
            return
        # What an edit doesn't change is written as it was read.
        edited, values = photo.edited(photo.pixels), photo.original.values
        assert np.array_equal(np.asarray(edited).reshape(values.shape), values)
        again = self.folder / f"again{photo.suffix}"
        save(again, edited, original=photo.original)
        if photo.format == "PNG":
            kept = Photo.open(again).original
            assert np.array_equal(kept.values, values)
            assert kept.profile == photo.original.profile


class Manifests(Reader):
    mutations = (*mutations.TEXT, *[mutations.change_json_line] * 8)

    def __init__(self, folder):
        super().__init__(folder)
        self.contents = seeds.manifests()
        (folder / "a.png").write_bytes(seeds.photos()["png"])
        self.path = folder / "jobs.jsonl"
        self.expected = {}
        for data in self.contents.values():
            lines = [line for line in data.removeprefix(b"\xef\xbb\xbf").splitlines() if line]
            self.expected |= dict(zip(lines, self._jobs(data), strict=True))

    def read(self, name, data):
        lines = LINE_END.split(data.removeprefix(b"\xef\xbb\xbf"))
        try:
            jobs = self._jobs(data)
        except InputError as error:
            self._check_number(str(error), lines)
            raise
        # No line is lost, and damage to one changes no other.
        filled = [line for line in lines if line.decode().strip()]
        assert len(jobs) == len(filled)
        for job, line in zip(jobs, filled, strict=True):
            if line in self.expected:
                assert vars(job) == vars(self.expected[line])
        assert len({job.label for job in jobs}) == len(jobs)
        for outcome in check_files(jobs):
            assert outcome.failure.isprintable()
        for job in jobs:
            folder = self.folder / "out" / job.label
            assert folder.parent == self.folder / "out"
            with contextlib.suppress(OSError):  # The name may be too long for a folder.
                folder.mkdir(parents=True)
                folder.rmdir()

    def _jobs(self, data):
        self.path.write_bytes(data)
        return read_manifest(self.path)

    def _check_number(self, message, lines):
        """Checks that the line that a message names is wrong by itself, and those before aren't."""
        found = re.match(re.escape(f"{self.path}, line ") + r"(\d+): ", message)
        if not found:
            assert "is empty" in message or "jobs with the name" in message
            return
        number = int(found[1])
        with pytest.raises(InputError, match="line 2:"):  # A byte order mark may begin line 1.
            self._jobs(b"\n" + lines[number - 1])
        with contextlib.suppress(InputError):
            self._jobs(b"\n".join(lines[: number - 1]))
            return
        with pytest.raises(InputError, match=r"is empty|jobs with the name"):
            self._jobs(b"\n".join(lines[: number - 1]))


class Lists(Reader):
    mutations = mutations.TEXT

    def __init__(self, folder):
        super().__init__(folder)
        self.contents = seeds.lists()
        self.other = folder / "other.txt"
        self.other.write_text("5.png\n")
        for i in range(1, 6):
            (folder / f"{i}.png").write_bytes(seeds.photos()["png"])

    def read(self, name, data):
        path = self.folder / f"{name}.txt"
        path.write_bytes(data)
        dataset = folders.load_pair(path, self.other)
        lines = LINE_END.split(data.removeprefix(b"\xef\xbb\xbf"))
        texts = [line.decode().strip() for line in lines]
        wanted = [Path(text).name for text in texts if text and not text.startswith("#")]
        assert [Path(name).name for name in dataset.names] == [*wanted, "5.png"]
        check_dataset(dataset)


class Tables(Reader):
    mutations = mutations.TEXT

    def __init__(self, folder):
        super().__init__(folder)
        self.contents = seeds.tables()
        for i in range(0, seeds.PEOPLE, 2):
            (folder / f"{i}.png").write_bytes(seeds.photos()["png"])

    def read(self, name, data):
        path = self.folder / "scores.csv"
        path.write_bytes(data)
        dataset = folders.load_table(self.folder)
        rows = [*csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))]
        header, *rows = [[cell.strip() for cell in row] for row in rows if any(row)]
        names = [row[header.index("image")] for row in rows]
        existing = {path.name for path in self.folder.iterdir() if path.suffix == ".png"}
        assert {*dataset.names} == {*map(os.path.normpath, names)} & existing
        check_dataset(dataset)


class LFWTables(Reader):
    mutations = mutations.TEXT

    def __init__(self, folder):
        super().__init__(folder)
        self.contents = seeds.lfw_tables()
        for name in "AB":
            person = folder / "lfw-deepfunneled" / f"{name}_Lee"
            person.mkdir(parents=True)
            for i in (1, 2):
                Image.new("RGB", (250, 250)).save(person / f"{name}_Lee_{i:04}.jpg")

    def read(self, name, data):
        (self.folder / lfw.TABLE).write_bytes(data)
        dataset = lfw.load(self.folder)
        original = self.content(name).splitlines()
        for line in LINE_END.split(data):
            cells = line.decode().split("\t")
            if line in original and len(cells) > 2 and cells[1] in "12":
                person = cells[0].replace(" ", "_")
                assert f"{person}/{person}_000{cells[1]}.jpg" in dataset.names
        check_dataset(dataset)


class TFDSFolders(Reader):
    """Folders that TensorFlow Datasets prepares: two JSON files, and records in a padded file."""

    mutations = (*mutations.BYTES, *[mutations.change_json_line] * 4)
    BLOCK = 65_536

    def __init__(self, folder):
        super().__init__(folder)
        pytest.importorskip("tensorflow_datasets")
        LFWTables(folder)
        (folder / lfw.TABLE).write_bytes(seeds.lfw_tables()["plain"])
        self.version = tfds.prepare(folder, data_dir=folder / "tfds")
        for path in self.version.iterdir():
            data = path.read_bytes()
            if path.suffix == ".json":
                self.contents[path.name] = json.dumps(json.loads(data)).encode()
            else:
                self.contents[path.name] = data.rstrip(b"\0")

    def read(self, name, data):
        for other, content in (self.contents | {name: data}).items():
            padding = 0 if other.endswith(".json") else -len(content) % self.BLOCK
            (self.version / other).write_bytes(content + bytes(padding))
        dataset = tfds.load("lfw_attributes", data_dir=self.folder / "tfds")
        check_dataset(dataset)


class CelebATables(Reader):
    mutations = mutations.TEXT

    def __init__(self, folder):
        super().__init__(folder)
        self.contents = seeds.celeba_tables()
        images = folder / celeba.IMAGES
        images.mkdir()
        for i in (1, 2, 3, 4):
            Image.new("RGB", celeba.SIZE).save(images / f"{i:06}.jpg")

    def read(self, name, data):
        for other, content in self.contents.items():
            path = self.folder / other
            if other == name:
                path.write_bytes(data)
            elif Path(other).stem == Path(name).stem:  # The other form of the same file.
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        dataset = celeba.load(self.folder)
        if not name.startswith(Path(celeba.ATTRIBUTES).stem):
            assert len(dataset) == 4
        check_dataset(dataset)


def check_dataset(dataset):
    assert len(set(dataset.names)) == len(dataset) > 0
    assert dataset.scores.shape == (len(dataset), len(dataset.attributes))
    assert np.isfinite(dataset.scores).all()
    assert len(set(dataset.attributes)) == len(dataset.attributes)
    for values in (dataset.people, dataset.landmarks):
        assert values is None or len(values) == len(dataset)
    assert dataset.landmarks is None or np.isfinite(dataset.landmarks).all()
    dataset.face(0, 4)


class Vectors(Reader):
    mutations = (
        *mutations.BYTES,
        *[containers.change_header] * 16,
        *[containers.change_numbers] * 4,
    )

    def __init__(self, folder):
        super().__init__(folder)
        self.contents = seeds.vectors(folder)

    def read(self, name, data):
        path = self.folder / f"{name}.safetensors"
        path.write_bytes(data)
        vector = AttributeVector.load(path)
        made = vector.provenance
        assert set(vector.features) == set(made.layers)
        json.dumps(vector_record(vector), allow_nan=False).encode()
        assert made.noise_share is None or made.noise_share >= 0
        assert all(map(math.isfinite, made.signal))
        find_warnings(made)
        vector.save(self.folder / "again.safetensors")
        assert AttributeVector.load(self.folder / "again.safetensors").provenance == made


class Fitted(Vectors):
    def __init__(self, folder):
        Reader.__init__(self, folder)
        self.contents = seeds.fitted(folder)

    def read(self, name, data):
        (self.folder / "part-1-of-1.safetensors").write_bytes(data)
        fitted = FittedDataset.load(self.folder)
        origin = fitted.origin
        assert fitted.scores.shape == (origin.total, len(origin.attributes))
        assert np.isfinite(fitted.scores).all()
        for layer in origin.layers:
            products, squares = fitted.products[layer], fitted.squares[layer]
            assert products.shape == (1 + len(origin.attributes), *squares.shape)
            assert np.isfinite(products).all()
            assert np.isfinite(squares).all()
        json.dumps(origin.to_dict(), allow_nan=False).encode()
        sums = (*fitted.products.values(), *fitted.squares.values())
        if all(np.abs(layer).max() < 1e30 for layer in sums):
            assert len(FittedDataset.merge([fitted, fitted]).scores) == 2 * origin.total
        for attribute in origin.attributes:
            with contextlib.suppress(InputError):
                fitted.check(attribute)


class Weights(Reader):
    mutations = (
        *mutations.BYTES,
        containers.change_header,
        containers.change_numbers,
        *[containers.change_member] * 2,
        *[containers.change_pickle] * 2,
    )

    def __init__(self, folder):
        super().__init__(folder)
        self.contents = seeds.weights(folder)

    def read(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        weights = formats.read(path)
        for layer in weights.params.values():
            assert layer["kernel"].dtype == layer["bias"].dtype == np.float32
            assert np.isfinite(layer["kernel"]).all()
            assert np.isfinite(layer["bias"]).all()
        prepared = weights.preprocess
        assert len(prepared.mean) == len(prepared.std) == 3
        assert all(map(math.isfinite, (*prepared.mean, *prepared.std, prepared.scale)))
        assert all(prepared.std)
        assert isinstance(weights.normalized, bool)


class Records(Reader):
    """Records of edits, which are read when a batch is resumed."""

    mutations = (*mutations.TEXT, *[mutations.change_json_line] * 8)

    def __init__(self, folder):
        super().__init__(folder)
        for name in ("me", "you"):
            (folder / f"{name}.png").write_bytes(seeds.photos()["png"])
            (folder / f"{name}.txt").write_text(f"{name}.png")
        self.editor = Editor(weights="random-vgg16", cache=None)
        people = folders.load_pair(folder / "me.txt", folder / "you.txt")
        whole = {"photo": folder / "me.png", "face": "whole", "name": "me"}
        self.jobs = {
            "starter": Job(attribute="older", alphas=(0.5, 1.0), **whole),
            "dataset": Job(attribute="Target", dataset=people, mask=folder / "me.png", **whole),
        }
        (folder / "me").mkdir()
        (folder / "me" / "alpha-1.png").write_bytes(seeds.photos()["png"])
        self.contents = {name: self._make(job) for name, job in self.jobs.items()}

    def _make(self, job):
        photo = {"name": "me.png", "sha256": file_sha256(job.photo)}
        recipe = work_recipe(self.editor.recipe, masked=job.mask is not None)
        made = {"photo": photo, "mask": job.mask and photo, "files": ["alpha-1.png"]}
        made |= job.request(recipe) | {"dataset_sha256": job.dataset_sha256}
        made |= {"recipe": recipe.to_dict(), "network": network_record(self.editor.vgg)}
        if job.dataset is not None:
            names, sha256 = job.dataset.names, job.dataset.fingerprint(np.arange(2))
            sets = {"source": names[:1], "target": names[1:], "images_sha256": sha256}
            made["selections"] = [sets]
        return json.dumps(made).encode()

    def read(self, name, data):
        (self.folder / "me" / "result.json").write_bytes(data)
        job = self.jobs[name]
        unfinished = select_unfinished([job], self.folder, editor=self.editor)
        try:
            made = json.loads(data.decode())
        except (ValueError, RecursionError):
            made = None
        if unfinished:  # The edit is made again, because this isn't the record of one that exists.
            assert unfinished == [job]
            files = made.get("files") if isinstance(made, dict) else None
            assert not isinstance(files, list) or files != ["alpha-1.png"]
            return
        # Nothing that the picture depends on differs.
        right = json.loads(self.content(name))
        for record in (made, right):
            record["network"].pop("convolution", None)
            for key in ("photo", "mask"):
                if isinstance(record.get(key), dict):
                    record[key] = record[key].get("sha256")
        for key in right.keys() - {"files", "selections"}:
            assert made.get(key) == right[key], key


READERS = {
    "photo": Photos,
    "manifest": Manifests,
    "list": Lists,
    "table": Tables,
    "lfw": LFWTables,
    "celeba": CelebATables,
    "tfds": TFDSFolders,
    "record": Records,
    "vector": Vectors,
    "fitted": Fitted,
    "weights": Weights,
}

TRAPS = ("b.ckpt",)
"""Files that hold code, and are rejected undamaged, too."""
