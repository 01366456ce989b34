"""The readers of the package, each with what holds of a file that it accepts."""

import contextlib
import dataclasses
import json
import math
import re

import numpy as np
import pytest
from fuzz import containers, mutations, seeds
from fuzz.dataset_readers import CelebATables, LFWTables, Lists, Tables, TFDSFolders
from fuzz.reader import LINE_END, Reader

from dfi_jax import AttributeVector, Editor, FileError, FittedDataset, InputError, Job, Photo
from dfi_jax.data import folders
from dfi_jax.editor.assembly import work_recipe
from dfi_jax.editor.record import find_warnings, network_record, vector_record
from dfi_jax.manifest import check_files, read_manifest, select_unfinished
from dfi_jax.network.weights import formats
from dfi_jax.photo.photo import save
from dfi_jax.storage.files import file_sha256


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
        try:
            save(again, edited, original=photo.original)
        except FileError as error:  # A photo that can be read can be edited.
            pytest.fail(str(error))
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
            other = dataclasses.replace(fitted, origin=dataclasses.replace(origin, images="others"))
            assert len(FittedDataset.merge([fitted, other]).scores) == 2 * origin.total
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
