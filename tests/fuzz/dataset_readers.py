"""The readers of datasets, each with what holds of a dataset that it accepts."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from fuzz import mutations, seeds
from fuzz.reader import LINE_END, Reader
from PIL import Image

from dfi_jax.data import celeba, folders, lfw, tfds


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
