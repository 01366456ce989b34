"""A judge of attributes that knows neither the vectors nor the network that edits are made with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dfi_jax.data.dataset import Dataset
from dfi_jax.data.selection import SMALLEST_SET
from dfi_jax.errors import InputError
from dfi_jax.metrics import alexnet
from dfi_jax.vectors.ridge import FOLDS, Ridge, auc, check_scores, fit_ridge


@dataclass(frozen=True, eq=False, kw_only=True)
class Judge:
    """Ridge regression of attribute scores on AlexNet's features.

    The position of a face on an attribute's axis is 0 for the typical face without the attribute,
    1 for the typical face with it, and 0.5 half-way. "Typical" means the mean prediction for
    images of people that were left out of the fit.

    Attributes:
      attributes: Names of the attributes. Attributes that fewer than ten images have, or fewer
        than ten lack, are left out.
      ridge: Regression.
      absent: Mean prediction for images without each attribute.
      gap: Difference of the mean predictions for images with and without each attribute.
      auc: Area under the ROC curve of each attribute.
    """

    attributes: tuple[str, ...]
    ridge: Ridge
    absent: Float[np.ndarray, " a"]
    gap: Float[np.ndarray, " a"]
    auc: Float[np.ndarray, " a"]

    def positions(self, faces: Float[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n a"]:
        """Returns where faces lie between typical faces without (0) and with (1) each attribute.

        Args:
          faces: Faces in the dataset's crop, RGB in [0, 1].
        """
        return (self.ridge.predict(alexnet.describe(faces)) - self.absent) / self.gap


def fit_judge(dataset: Dataset, rows: Sequence[int]) -> Judge:
    """Returns a judge that learnt from some images of a dataset.

    Args:
      dataset: A dataset with scores.
      rows: Numbers of the images. They should show none of the people whose edits are judged.

    Raises:
      InputError: If the images show fewer than five people, a score isn't finite, or no attribute
        can be judged.
      FileError: If an image can't be read.

    >>> from dfi_jax import load_dataset
    >>> people = load_dataset("synthetic:60")
    >>> judge = fit_judge(people, range(60))
    >>> smiling = judge.attributes.index("Smiling")
    >>> found = judge.positions(np.stack([people.face(i, 200) for i in range(8)]))[:, smiling]
    >>> bool(np.corrcoef(found, people.scores[:8, people.attributes.index("Smiling")])[0, 1] > 0.5)
    True
    """
    chosen = np.array(rows)
    people = chosen if dataset.people is None else dataset.people[chosen]
    _, numbers = np.unique(people, return_inverse=True)
    if not len(chosen) or numbers.max() + 1 < FOLDS:
        raise InputError(
            f"the images of {dataset.name} show fewer than {FOLDS} people; give more images."
        )
    check_scores(dataset.scores[chosen], dataset.name)
    present = dataset.scores[chosen] > 0
    counts = np.minimum(present.sum(axis=0), (~present).sum(axis=0))
    columns = np.flatnonzero(counts >= SMALLEST_SET)
    if not len(columns):
        raise InputError(
            f"no attribute of {dataset.name} is present in {SMALLEST_SET} of the images and absent "
            f"in {SMALLEST_SET}; give more images."
        )
    # In other batches, `describe` would spend part of its time on padding.
    batches = dataset.batches(chosen, size=alexnet.SIZE, batch=alexnet.BATCH)
    described = [alexnet.describe(batch) for batch in batches]
    scores, present = dataset.scores[chosen][:, columns], present[:, columns]
    ridge, left_out = fit_ridge(np.concatenate(described), scores, numbers)
    pairs = list(zip(left_out.T, present.T, strict=True))
    absent = np.array([predicted[~on].mean() for predicted, on in pairs])
    return Judge(
        attributes=tuple(dataset.attributes[a] for a in columns),
        ridge=ridge,
        absent=absent,
        gap=np.array([predicted[on].mean() for predicted, on in pairs]) - absent,
        auc=np.array([auc(predicted, on) for predicted, on in pairs]),
    )
