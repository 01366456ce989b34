"""How much of an attribute vector is noise, and what takes it out?

    python experiments/fitted_vectors.py lfw:DIR [--out DIR] [--json]
    python experiments/fitted_vectors.py --quick

The people of the dataset are divided into halves, and each half is fitted by itself
(`dfi_jax.vectors.fit`). What one half says of a vector is independent of the noise in the other's.
All figures are means over the attributes and over both directions. All other attributes are held.

The first table says how many images a difference of two means needs. With n images in each set, its
noise is √(2Σσ²/n), with the variance σ² of each activation between all images; its signal is that
of the fitted vector.

The second compares penalties on the attributes that are held: the share of noise in the energy of
the vector, as its standard errors predict it (Σs²/‖w‖²) and as the vectors w and w' of the halves
differ (‖w − w'‖²/(‖w‖² + ‖w'‖²)), how far the vector moves its own attribute as the other half
measures it, and how far it moves the others, in proportion.

The third compares shrinkages by the relative error ‖shrunk(w) − w'‖²/‖w'‖², where w' is the other
half's vector without shrinkage. w' has noise as well, so only differences between rows count.

`--quick` uses drawn faces.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from command_line import run_experiment

from dfi_jax import AttributeVector, Dataset, Recipe, Unshrunk, Wiener, load_dataset, load_vgg
from dfi_jax.recipe.features import DEFAULT_LAYERS
from dfi_jax.vectors.fit import fit
from dfi_jax.vectors.fitted import PENALTY, FittedDataset

NOT_HELD = 1e9
"""A penalty so large that no attribute is held."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset with scores.
      attributes: Attributes whose vectors are computed.
      counts: Numbers of images per set.
      penalties: Penalties on the attributes that are held, which are all others.
      kinds: Kinds of averages in shrinkage.
      strengths: Strengths of shrinkage.
      focuses: Values of the default shrinkage's focus.
      weights: Name of the network.
      layers: Names of layers.
      size: Height and width of the faces.
      out: Folder for the sums.
    """

    dataset: str
    attributes: tuple[str, ...] = ("Smiling", "Mouth Slightly Open", "Eyeglasses", "~Young")
    counts: tuple[int, ...] = (10, 25, 50, 100, 200, 400, 1000)
    penalties: tuple[float, ...] = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, NOT_HELD)
    kinds: tuple[str, ...] = ("activation", "neighborhood", "channel")
    strengths: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 3.0)
    focuses: tuple[float, ...] = (0.5, 1.0, 1.5, 3.0)
    weights: str = "vgg16"
    layers: tuple[str, ...] = DEFAULT_LAYERS
    size: int = 200
    out: str = "out/fitted_vectors"


QUICK = Config(
    dataset="synthetic:120:0:64",
    attributes=("Smiling",),
    penalties=(0.0, 1.0),
    kinds=("activation",),
    strengths=(1.0,),
    weights="random-vgg16",
    layers=("conv1_2", "conv2_1"),
    size=32,
)

Halves = tuple[FittedDataset, FittedDataset]
"""Two fits of different people."""


def run(config: Config) -> dict[str, Any]:
    """Fits both halves, and returns the rows of the tables."""
    dataset, vgg = load_dataset(config.dataset), load_vgg(config.weights)
    recipe = Recipe().set(
        {"features.layers": ",".join(config.layers), "features.size": str(config.size)}
    )
    first, second = (
        fit(
            vgg,
            dataset,
            recipe=recipe,
            rows=rows,
            folder=Path(config.out, f"{len(dataset)}-images-{config.size}-pixels", f"half-{i}"),
        )
        for i, rows in enumerate(halve(dataset))
    )
    return {
        "config": dataclasses.asdict(config),
        "images": [len(first.scores), len(second.scores)],
        "counts": predict_noise(FittedDataset.merge([first, second]), config),
        "penalties": [
            {"penalty": penalty, **compare_movements((first, second), penalty, config)}
            for penalty in config.penalties
        ],
        "shrinkages": compare_shrinkages((first, second), config),
    }


def predict_noise(fitted: FittedDataset, config: Config) -> list[dict[str, Any]]:
    """Returns the share of noise in the energy of a difference of means, by layer, for each n."""
    signals = [
        vector(fitted, name, shrinkage=Unshrunk()).provenance.signal for name in config.attributes
    ]
    images = len(fitted.scores)
    rows: list[dict[str, Any]] = [{"count": count, "shares": []} for count in config.counts]
    for i, layer in enumerate(config.layers):
        mean = fitted.products[layer][0] / images
        variance = float(np.sum(fitted.squares[layer] / images - mean**2, dtype=np.float64))
        for row in rows:
            noise = 2 * variance / row["count"]
            row["shares"].append(float(np.mean([noise / (noise + s[i] ** 2) for s in signals])))
    return rows


def number_people(dataset: Dataset, rows: Sequence[int]) -> np.ndarray:
    """Returns the number of the person in each image, from 0. Without names, everybody differs."""
    people = np.array(rows) if dataset.people is None else dataset.people[list(rows)]
    return np.unique(people, return_inverse=True)[1]


def halve(dataset: Dataset) -> tuple[list[int], list[int]]:
    """Returns the images of half of the people, drawn at random, and those of the others."""
    numbers = number_people(dataset, range(len(dataset)))
    sides = np.random.default_rng(0).integers(0, 2, numbers.max() + 1)[numbers]
    return np.flatnonzero(sides == 0).tolist(), np.flatnonzero(sides).tolist()


def vector(
    fitted: FittedDataset,
    attribute: str,
    *,
    penalty: float = PENALTY,
    shrinkage: Unshrunk | Wiener,
) -> AttributeVector:
    """Returns an attribute's vector with all other attributes held."""
    names = fitted.origin.attributes
    return fitted.vector(attribute, hold=names, penalty=penalty, shrinkage=shrinkage)


def both_ways(
    halves: Halves, attribute: str, penalty: float
) -> Iterator[tuple[AttributeVector, AttributeVector, FittedDataset]]:
    """Yields each half's vector without shrinkage, with the other's vector and the other."""
    vectors = [vector(half, attribute, penalty=penalty, shrinkage=Unshrunk()) for half in halves]
    yield vectors[0], vectors[1], halves[1]
    yield vectors[1], vectors[0], halves[0]


def compare_movements(halves: Halves, penalty: float, config: Config) -> dict[str, float]:
    """Returns the noise and the movements of vectors with a penalty, as means."""
    found: list[dict[str, float]] = []
    for attribute in config.attributes:
        for mine, theirs, other in both_ways(halves, attribute, penalty):
            moved = other.movements(mine)
            own = abs(moved.pop(attribute.removeprefix("~")))
            others = np.abs(list(moved.values()))
            found.append(
                {
                    "noise": mine.provenance.noise_share or 0.0,
                    "measured": difference_share(mine, theirs),
                    "own": own,
                    "others": float(others.mean() / own),
                    "largest": float(others.max() / own),
                }
            )
    return {name: float(np.mean([row[name] for row in found])) for name in found[0]}


def difference_share(first: AttributeVector, second: AttributeVector) -> float:
    """Returns ‖w − w'‖²/(‖w‖² + ‖w'‖²), as a mean over layers.

    It is the share of noise in the energy of two vectors whose noise is independent.
    """
    pairs = [(w, second.features[name]) for name, w in first.features.items()]
    return float(np.mean([np.sum((a - b) ** 2) / (np.sum(a**2) + np.sum(b**2)) for a, b in pairs]))


def compare_shrinkages(halves: Halves, config: Config) -> list[dict[str, Any]]:
    """Returns the relative error of vectors with each shrinkage, by layer."""
    choices: list[Unshrunk | Wiener] = [Unshrunk()]
    choices += [
        Wiener(over=kind, strength=strength)  # type: ignore[arg-type]
        for kind in config.kinds
        for strength in config.strengths
    ]
    choices += [Wiener(focus=focus) for focus in config.focuses]
    errors: dict[Unshrunk | Wiener, list[list[float]]] = {choice: [] for choice in choices}
    for attribute in config.attributes:
        shrunk = [
            [vector(half, attribute, penalty=PENALTY, shrinkage=choice) for choice in choices]
            for half in halves
        ]
        for mine, theirs in ((0, 1), (1, 0)):
            truth = shrunk[theirs][0].features  # The first choice doesn't shrink.
            for choice, found in zip(choices, shrunk[mine], strict=True):
                errors[choice].append(
                    [
                        float(np.sum((found.features[name] - truth[name]) ** 2))
                        / float(np.sum(truth[name] ** 2))
                        for name in config.layers
                    ]
                )
    return [
        {"shrinkage": choice.to_dict(), "errors": np.mean(errors[choice], axis=0).tolist()}
        for choice in choices
    ]


def print_tables(record: dict[str, Any]) -> None:
    """Prints the three tables."""
    first, second = record["images"]
    print(f"{first} and {second} images.\n")
    layers = " | ".join(record["config"]["layers"])
    print(f"| images per set | {layers} |")
    print("| --- " * (1 + len(record["config"]["layers"])) + "|")
    for row in record["counts"]:
        shares = (f"{100 * share:.0f} %" for share in row["shares"])
        print(f"| {row['count']} | {' | '.join(shares)} |")
    heads = ["penalty", "noise, predicted", "noise, measured"]
    heads += ["own attribute", "others, mean", "others, largest"]
    print(f"\n| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")
    for row in record["penalties"]:
        name = "nothing held" if row["penalty"] == NOT_HELD else f"{row['penalty']:g}"
        name += " (default)" if row["penalty"] == PENALTY else ""
        moved = " | ".join(f"{row[name]:.3f}" for name in ("own", "others", "largest"))
        noise = " | ".join(f"{100 * row[name]:.0f} %" for name in ("noise", "measured"))
        print(f"| {name} | {noise} | {moved} |")
    print(f"\n| average over, c | {layers} |")
    print("| --- " * (1 + len(record["config"]["layers"])) + "|")
    for row in record["shrinkages"]:
        stage = row["shrinkage"]
        name = f"{stage['over']}, {stage['strength']:g}" if "over" in stage else "no shrinkage"
        name += f", focus {stage['focus']:g}" if stage.get("focus") else ""
        print(f"| {name} | {' | '.join(f'{error:.3f}' for error in row['errors'])} |")


def main() -> None:
    """Prints the tables, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
