"""The TensorFlow Datasets builder `lfw_attributes`.

It holds LFW's deep-funnelled images, their scores, the people in them and their file names.
`dfi_jax.data.tfds.prepare` runs the builder on the files that `dfi_jax.data.lfw` describes, in
`manual_dir`. The prepared dataset can be read without the builder and without those files: by
`dfi_jax.data.tfds.load`, by Grain, or by

    tfds.data_source("lfw_attributes", split="train", data_dir=…)

The scores of an image are one tensor. `info.metadata["attributes"]` names them, in the same order.
The published attributes file has 73.

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
    """The dataset, which has one split, `train`, in the order of the attributes file."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"manual_dir should hold {lfw.TABLE} "
        f"(https://www.cs.columbia.edu/CAVE/databases/pubfig/download/) and the unpacked folder "
        f"lfw-deepfunneled (http://vis-www.cs.umass.edu/lfw/)."
    )

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Labeled Faces in the Wild, deep-funnelled, with attribute scores, which are "
                "positive if an attribute is present and negative if it is absent. The names of "
                "the attributes are info.metadata['attributes']."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(lfw.SIDE, lfw.SIDE, 3), encoding_format="jpeg"
                    ),
                    "attributes": tfds.features.Tensor(shape=(None,), dtype=np.float32),
                    "person": tfds.features.Text(),
                    "file_name": tfds.features.Text(),
                }
            ),
            metadata=tfds.core.MetadataDict(),
            homepage="http://vis-www.cs.umass.edu/lfw/",
            disable_shuffling=True,  # The rows are then in the order of `lfw.load`.
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        dataset = lfw.load(Path(dl_manager.manual_dir))
        self.info.metadata["attributes"] = list(dataset.attributes)
        return {"train": self._generate_examples(dataset)}

    def _generate_examples(self, dataset: Dataset) -> Iterator[tuple[int, dict[str, Any]]]:
        assert dataset.folder is not None
        assert dataset.people is not None
        for i, name in enumerate(dataset.names):
            # A damaged image should stop the preparation rather than every pipeline that reads it.
            dataset.read(i)
            yield (
                i,
                {
                    "image": (dataset.folder / name).read_bytes(),
                    "attributes": dataset.scores[i],
                    "person": str(dataset.people[i]),
                    "file_name": name,
                },
            )
