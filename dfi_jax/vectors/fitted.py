"""A dataset's features and scores, added up: all that its attribute vectors are computed from."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
from jaxtyping import Float

from dfi_jax.data.selection import SMALLEST_SET
from dfi_jax.data.wanted import Wanted, find_attribute
from dfi_jax.errors import FileError, InputError
from dfi_jax.recipe import Recipe
from dfi_jax.recipe.features import Features
from dfi_jax.recipe.shrinkage import Unshrunk, Wiener
from dfi_jax.storage.files import check_file, user_path, write_tensors
from dfi_jax.vectors.attribute_vector import AttributeVector, from_estimate
from dfi_jax.vectors.origin import Origin
from dfi_jax.vectors.provenance import ALIKE, Provenance, words
from dfi_jax.vectors.regression import decompose, regress

PENALTY = 0.1
"""The ridge penalty of each attribute that is held constant, in n times the variance of its scores.

docs/vectors.md has the measurement that it rests on."""

SYNONYMS = 0.8
"""Smallest correlation, of either sign, of scores that mean much the same.

In LFW, these are Smiling and High Cheekbones (0.89), Young and Gray Hair (-0.86), and the kinds of
beard. Holding cheekbones constant takes away half of a smile (docs/directions.md)."""

REMEMBERED = 4
"""Number of vectors that a fitted dataset remembers. One takes about 12 MB."""

DEFAULT_SHRINKAGE = Recipe().shrinkage
"""The shrinkage of the recipe `default`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedDataset:
    """A dataset's features and scores, added up.

    `Editor.fit` makes it, in one pass over the images. X has a row for each image, with a one and
    the scores of all a attributes, and φ has the images' features.

    Attributes:
      origin: Origin of the sums.
      scores: Score of each image (rows) for each attribute (columns), clipped to ±3.
      products: Xᵀφ, (1 + a, h, w, c) per layer.
      squares: Σφ², (h, w, c) per layer.

    >>> import tempfile, dfi_jax
    >>> recipe = Recipe().set({"features.layers": "conv1_1", "features.size": "32"})
    >>> editor = dfi_jax.Editor(recipe=recipe, weights="random-vgg16", cache=None)
    >>> people = dfi_jax.load_dataset("synthetic:40")
    >>> fitted = editor.fit(people)
    >>> fitted.name, str(fitted.check("smiling"))
    ('synthetic', 'Smiling')
    >>> vector = fitted.vector("Smiling", hold=["Young"])
    >>> round(fitted.movements(fitted.vector("Smiling", penalty=0.0))["Smiling"], 1) <= 1.0
    True
    >>> folder = tempfile.mkdtemp()
    >>> fitted.save(folder)
    >>> FittedDataset.load(folder).scores.shape
    (40, 7)
    >>> FittedDataset.load_part(f"{folder}/part-1-of-1.safetensors").origin.total
    40
    >>> parts = [editor.fit(people, where=where) for where in ("+Young", "-Young")]
    >>> len(FittedDataset.merge(parts).scores)  # The others are neither clearly young nor old.
    27
    """

    origin: Origin
    scores: Float[np.ndarray, "n a"] = field(repr=False)
    products: dict[str, Float[np.ndarray, "_ _ _ _"]] = field(repr=False)
    squares: dict[str, Float[np.ndarray, "_ _ _"]] = field(repr=False)
    _remembered: dict[tuple[Any, ...], AttributeVector] = field(
        default_factory=dict, init=False, repr=False
    )

    @property
    def name(self) -> str:
        """Name of the dataset, for records."""
        return self.origin.dataset

    @property
    def mean(self) -> Features:
        """Mean features of all images, (h, w, c) per layer."""
        n = len(self.scores)
        return {name: jnp.asarray(layer[0] / n) for name, layer in self.products.items()}

    def vector(
        self,
        attribute: Wanted | str | None,
        *,
        hold: Sequence[str] | None = None,
        penalty: float = PENALTY,
        shrinkage: Unshrunk | Wiener = DEFAULT_SHRINKAGE,
    ) -> AttributeVector:
        """Returns the attribute's vector w, with its standard error, in a second at most.

        The last few vectors are remembered, so many edits compute each once.

        Args:
          attribute: The attribute, as for a selection, or several that change together. `~Young` is
            the opposite of `Young`. None stands for the attribute of a dataset that has only one.
          hold: Names of the attributes that are held constant. None holds all others, except
            those whose scores are correlated by `SYNONYMS` or more with the attribute's.
          penalty: Ridge penalty of each attribute that is held, in n times the variance of its
            scores. 0 holds attributes entirely, at the cost of noise.
          shrinkage: Shrinkage that takes noise out of the vector.

        Raises:
          InputError: If the dataset lacks one of the attributes, or has too few images with or
            without it, or too few to tell all attributes apart, or if the penalty is negative or
            infinite.
        """
        if isinstance(hold, str):
            raise InputError(f"hold is {hold!r}; give a list of names, such as [{hold!r}].")
        if not 0 <= penalty < math.inf:
            raise InputError(f"the penalty is {penalty}; give a finite number from 0.")
        wanted = self.check(attribute)
        columns = [find_attribute(term.name, self.origin.attributes) for term in wanted.terms]
        if hold is None:
            held = self._unrelated(columns)
        else:
            named = dict.fromkeys(find_attribute(name, self.origin.attributes) for name in hold)
            held = [a for a in named if a not in columns]
        asked = (wanted, tuple(held), penalty, shrinkage)
        found = self._remembered.get(asked)
        if found is None:
            found = self._estimate(wanted, columns, held, penalty=penalty, shrinkage=shrinkage)
            for oldest in list(self._remembered)[: 1 - REMEMBERED]:
                self._remembered.pop(oldest, None)  # Another thread may have been faster.
            self._remembered[asked] = found
        return found

    def _estimate(
        self,
        wanted: Wanted,
        columns: list[int],
        held: list[int],
        *,
        penalty: float,
        shrinkage: Unshrunk | Wiener,
    ) -> AttributeVector:
        """Returns the vector of wanted attributes, whose columns are given."""
        pairs = list(zip(columns, wanted.terms, strict=True))
        slopes = np.array([self._gap(a) * (1 if term.on else -1) for a, term in pairs])
        w, variance = regress(
            self.scores, self.products, self.squares, columns, held, slopes, penalty=penalty
        )
        on = (self.scores[:, columns] > 0) == [term.on for term in wanted.terms]
        origin = self.origin
        provenance = Provenance(
            dataset=origin.dataset,
            attributes=tuple(map(str, wanted.terms)),
            k=None,
            n_source=int((~on).all(axis=1).sum()),
            n_target=int(on.all(axis=1).sum()),
            network=origin.network,
            weights_sha256=origin.weights_sha256,
            layers=origin.layers,
            size=origin.size,
            crop=origin.crop,
            pool_rounding=origin.pool_rounding,
            preparation=origin.preparation,
            normalization=origin.normalization,
            images=origin.images,
            where=origin.where,
            held=tuple(origin.attributes[a] for a in held),
            penalty=penalty,
            warped=origin.warped,
        )
        return from_estimate(w, variance, provenance, average=self.mean, shrinkage=shrinkage)

    def check(self, attribute: Wanted | str | None) -> Wanted:
        """Returns an attribute as `vector` understands it.

        Raises:
          InputError: As `vector`.
        """
        wanted = Wanted.of(attribute, self.origin.attributes)
        names = [term.name for term in wanted.terms]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise InputError(f"{wanted} names {repeated[0]} twice; name each attribute once.")
        for term in wanted.terms:
            if term.shared:
                raise InputError(
                    f"{term} restricts the images, which a fitted dataset no longer knows one by "
                    f"one; fit the dataset with where={str(term)!r} instead."
                )
            self._gap(find_attribute(term.name, self.origin.attributes))
        return wanted

    def _unrelated(self, columns: Sequence[int]) -> list[int]:
        """Returns the attributes that don't mean the same as any of some attributes."""
        centred = self.scores - self.scores.mean(axis=0)
        standard = centred / np.maximum(centred.std(axis=0), 1e-12)
        correlations = np.abs(standard.T @ standard[:, list(columns)]) / len(self.scores)
        others = np.flatnonzero(correlations.max(axis=1) < SYNONYMS)
        return [a for a in others.tolist() if a not in columns]

    def movements(self, vector: AttributeVector) -> dict[str, float]:
        """Returns how far a vector moves a photo in each attribute.

        The unit is the distance between typical images with and without the attribute: 0.2 is a
        fifth of it. Attributes that fewer than ten images have, or fewer than ten lack, are left
        out.

        Args:
          vector: An attribute vector of the same network and the same features.

        Raises:
          InputError: If the vector is of something else.
        """
        made, origin = vector.provenance, self.origin
        for name in ALIKE:
            if getattr(made, name) != getattr(origin, name):
                raise InputError(
                    f"the vector was made with {name} {words(getattr(made, name))} and the fitted "
                    f"dataset with {words(getattr(origin, name))}; compare what was made alike."
                )
        columns = [a for a in range(len(origin.attributes)) if self._counts(a) >= SMALLEST_SET]
        w = {name: np.asarray(layer) for name, layer in vector.features.items()}
        moved = decompose(self.scores, self.products, self.squares, columns, w)
        gaps = [self._gap(a) for a in columns]
        return {
            origin.attributes[a]: float(score / gap)
            for a, score, gap in zip(columns, moved, gaps, strict=True)
        }

    @property
    def catalog_sha256(self) -> str:
        """SHA-256, in hex, of the origin."""
        return hashlib.sha256(json.dumps(self.origin.to_dict()).encode()).hexdigest()

    def save(self, folder: str | Path, *, part: tuple[int, int] = (1, 1)) -> None:
        """Writes the sums as a safetensors file in a folder, whole or not at all.

        Args:
          folder: The folder, which is created if it doesn't exist.
          part: Number of this part of the dataset, from 1, and number of parts.

        Raises:
          FileError: If the file can't be written.
        """
        tensors = {"scores": self.scores}
        tensors |= {f"{name}.products": layer for name, layer in self.products.items()}
        tensors |= {f"{name}.squares": layer for name, layer in self.squares.items()}
        metadata = {name: json.dumps(value) for name, value in self.origin.to_dict().items()}
        write_tensors(part_path(user_path(folder), part), tensors, metadata=metadata)

    @classmethod
    def load(cls, folder: str | Path) -> "FittedDataset":
        """Reads what `fit` wrote to a folder, and adds up the parts of several processes.

        Raises:
          FileError: If the folder has no sums, a part is missing or unfinished, or a file is
            damaged.
          InputError: If the parts don't belong together.
        """
        try:
            paths = sorted(user_path(folder).glob("part-*-of-*.safetensors"))
        except OSError as error:
            raise FileError(f"{folder} can't be read ({error.strerror}); check the path.") from None
        if not paths:
            raise FileError(
                f"{folder} has no fitted dataset; give a folder that `dfi vectors fit` wrote."
            )
        counts = {path.stem.split("-")[-1] for path in paths}
        if len(counts) > 1:
            raise FileError(
                f"{folder} has parts of {' and of '.join(sorted(counts))}, from runs with "
                f"different numbers of processes; delete the files of all runs but one."
            )
        if counts != {str(len(paths))}:
            raise FileError(
                f"{folder} has {len(paths)} parts of {counts.pop()}; run `dfi vectors fit` again "
                f"with as many processes as before."
            )
        parts = [cls.load_part(path) for path in paths]
        for path, part in zip(paths, parts, strict=True):
            if len(part.scores) < part.origin.total:
                raise FileError(
                    f"{path} has {len(part.scores)} of {part.origin.total} images; run the same "
                    f"`dfi vectors fit` again to finish it."
                )
        return parts[0] if len(parts) == 1 else cls.merge(parts)

    @classmethod
    def load_part(cls, path: str | Path) -> "FittedDataset":
        """Reads one file that `save` wrote.

        Raises:
          FileError: If the file is missing or damaged.
        """
        path = user_path(path)
        check_file(path)
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                metadata = {k: json.loads(v) for k, v in (file.metadata() or {}).items()}
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
            origin = Origin.from_dict(metadata)
            _check_sums(tensors, origin)
            return cls(
                origin=origin,
                scores=tensors["scores"],
                products={name: tensors[f"{name}.products"] for name in origin.layers},
                squares={name: tensors[f"{name}.squares"] for name in origin.layers},
            )
        except (
            OSError,
            safetensors.SafetensorError,
            KeyError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise FileError(
                f"{path} can't be read as a fitted dataset ({error}); delete it and fit the "
                f"dataset again."
            ) from None

    @classmethod
    def merge(cls, parts: Sequence["FittedDataset"]) -> "FittedDataset":
        """Returns the sums over the images of all parts, such as men and women.

        Raises:
          InputError: If there is no part, if the parts differ in more than their images, or if two
            have the same images.
        """
        if not parts:
            raise InputError("there is no fitted dataset to add up; give at least one.")
        images = [part.origin.images for part in parts if len(part.scores)]
        if len(set(images)) < len(images):
            raise InputError(
                "two parts are of the same images, which would count twice; give each part once."
            )
        first = parts[0].origin
        for part in parts[1:]:
            for each in dataclasses.fields(Origin):
                if each.name in ("where", "images", "total"):
                    continue
                here, there = getattr(first, each.name), getattr(part.origin, each.name)
                if here != there:
                    raise InputError(
                        f"parts with the {each.name} {words(here)} and {words(there)} can't be "
                        f"added up; fit them alike."
                    )
        origins = [part.origin for part in parts]
        joined = "".join(origin.images for origin in origins)
        origin = dataclasses.replace(
            first,
            where=" or ".join(dict.fromkeys(origin.where for origin in origins)),
            images=hashlib.sha256(joined.encode()).hexdigest(),
            total=sum(origin.total for origin in origins),
        )
        return cls(
            origin=origin,
            scores=np.concatenate([part.scores for part in parts]),
            products=_add_layers([part.products for part in parts]),
            squares=_add_layers([part.squares for part in parts]),
        )

    def _counts(self, column: int) -> int:
        """Returns how many images have an attribute, or lack it if fewer do."""
        present = int((self.scores[:, column] > 0).sum())
        return min(present, len(self.scores) - present)

    def _gap(self, column: int) -> float:
        """Returns the difference of the mean scores of images with and without an attribute."""
        scores = self.scores[:, column]
        present, absent = scores[scores > 0], scores[scores <= 0]
        if self._counts(column) < SMALLEST_SET:
            raise InputError(
                f"{self.origin.attributes[column]} is present in {len(present)} of {len(scores)} "
                f"images; fit a dataset in which at least {SMALLEST_SET} images have it and "
                f"{SMALLEST_SET} lack it."
            )
        return float(present.mean(dtype=np.float64) - absent.mean(dtype=np.float64))


def _check_sums(tensors: Mapping[str, np.ndarray], origin: Origin) -> None:
    """Raises an error unless the sums of a file belong together and are finite."""
    scores, attributes = tensors["scores"], len(origin.attributes)
    if scores.ndim != 2 or scores.shape[1] != attributes or len(scores) > origin.total:
        raise ValueError(
            f"the scores of {origin.total} images for {attributes} attributes have the shape "
            f"{scores.shape}"
        )
    for name in origin.layers:
        products, squares = tensors[f"{name}.products"], tensors[f"{name}.squares"]
        if squares.ndim != 3 or products.shape != (1 + attributes, *squares.shape):
            raise ValueError(f"{name} has the shapes {products.shape} and {squares.shape}")
    for name, array in tensors.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"{name} has values that aren't finite floats")


def part_path(folder: Path, part: tuple[int, int]) -> Path:
    """Returns the file of one part of a fitted dataset.

    >>> part_path(Path("lfw"), (1, 4)).name
    'part-1-of-4.safetensors'
    """
    return folder / f"part-{part[0]}-of-{part[1]}.safetensors"


def _add_layers(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    first, *others = parts
    return {name: sum((part[name] for part in others), start=first[name]) for name in first}
