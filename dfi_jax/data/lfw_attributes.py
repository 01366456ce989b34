"""The TensorFlow Datasets builder `lfw_attributes`: LFW's deep-funnelled images, with scores, people and file names.

`dfi_jax.data.tfds.prepare` runs it, over the two parts of `dfi_jax.data.lfw` in `manual_dir`. What it prepares is read
without it and without those: by `dfi_jax.data.tfds.load`, by Grain, or by

    tfds.data_source("lfw_attributes", split="train", data_dir=…)

The scores of an image are one tensor, and their names `info.metadata["attributes"]`, a list in the same order: there
are as many as the attributes file has, 73 in the published one.

Importing this module needs the extra `tfds`, and registers the builder.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from dfi_jax.data import lfw
from dfi_jax.data.dataset import Dataset


class LfwAttributes(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """One split, `train`, in the order of the attributes file."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"manual_dir should hold {lfw.TABLE} (https://www.cs.columbia.edu/CAVE/databases/pubfig/download/) and the "
        f"folder lfw-deepfunneled, unpacked (http://vis-www.cs.umass.edu/lfw/)."
    )

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Labeled Faces in the Wild, deep-funnelled, with attribute scores: positive where an attribute is "
                "present, negative where it is absent. The names of the attributes are info.metadata['attributes']."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(lfw.SIDE, lfw.SIDE, 3), encoding_format="jpeg"),
                    "attributes": tfds.features.Tensor(shape=(None,), dtype=np.float32),
                    "person": tfds.features.Text(),
                    "file_name": tfds.features.Text(),
                }
            ),
            metadata=tfds.core.MetadataDict(),
            homepage="http://vis-www.cs.umass.edu/lfw/",
            disable_shuffling=True,  # rows then are those of `lfw.load`
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        dataset = lfw.load(Path(dl_manager.manual_dir))
        self.info.metadata["attributes"] = list(dataset.attributes)
        return {"train": self._generate_examples(dataset)}

    def _generate_examples(self, dataset: Dataset) -> Iterator[tuple[int, dict[str, Any]]]:
        assert dataset.folder is not None
        assert dataset.people is not None
        for i, name in enumerate(dataset.names):
            dataset.read(i)  # a damaged image stops the preparation rather than every pipeline that meets it
            yield (
                i,
                {
                    "image": (dataset.folder / name).read_bytes(),
                    "attributes": dataset.scores[i],
                    "person": str(dataset.people[i]),
                    "file_name": name,
                },
            )
