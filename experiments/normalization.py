"""What do the normalisations of features, vectors and errors do to an edit?

    python experiments/normalization.py lfw:DIR [--photos N] [--iterations N] [--attribute NAME]
    python experiments/normalization.py --quick

Edits the same photos with every meaningful combination of

- network: `raw`, or `normalized` on images of the dataset, so that each filter's mean activation is
  1 (Gatys et al. 2015)
- features: φ, φ/‖φ‖ of each layer, or φ/‖φ‖ of all layers as one vector
- vector: w, w/‖w‖, ‖φ(x)‖·w/‖w‖ or w/mean(w²), of each layer or of all layers as one vector
- loss: ½Σd², Σ over layers of mean(d²), or Σ over layers of ½Σd²/‖φ(x)‖²

Combinations that minimise the same function up to a factor, at a strength that differs by the same
factor for all photos, are tried once. Start and solver are those of the default recipe. w is the
difference between the means of 100 neighbours with the attribute and 100 without, by scores, and
isn't shrunk.

Strengths are matched by a judge on another network: at each combination's strength α, the photos
gain on average `goal` of the distance between typical faces. A photo is moved by several lengths;
the strength that it needs itself is interpolated. *Varies* is the standard deviation of these
strengths between photos, divided by their mean, and *spread* the standard deviation of the gain at
α. *Done* is the part of the objective's decrease in `long` evaluations that the default recipe's
evaluations reach. The other columns are those of `judged_edits.measure`. Each choice has the
medians over its combinations, except those whose mean gain isn't near the goal.

Then chainer-dfi's solver minimises losses that are multiplied by powers of ten (`loss_factors`).

Edits are written as JPEG, under the numbers of features and vector in the lists above, from 0, and
the record names them; `python experiments/identity.py OUT` says whether they are still the same
people. The network works with TF32's precision where the device has it, and several programs are
compiled at a time.

There are 98 different combinations. On faces of 100 × 100 pixels, they take half an hour on 2 CPU
cores. More and larger faces need a GPU. The folder keeps the rows of each normalisation of features
with each loss, so rerunning the command resumes it.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import loss_factors
import numpy as np
from combinations import CHOICES, FEATURES, LOSSES, VECTORS, differing_losses, differing_vectors
from command_line import run_experiment
from gain_curves import Curves
from identity import FACES, save_sheet
from kept import digest, kept_rows
from matched_edits import Editing, Moves, Photos, Subjects, edit, fast, load_networks, phase, see

from dfi_jax import (
    VGG,
    Recipe,
    load_dataset,
)

CLOSE = 0.2
"""Largest difference between a mean gain and the goal, as a fraction of the goal, at which a
combination is compared with others."""

MEASURES = ("varies", "spread", "others", "mean", "border", "luma", "chroma", "done")
"""The columns of the tables."""

SHOWN = 8
"""Number of faces that are written as pictures."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset with scores.
      attribute: Attribute that is added.
      photos: Number of photos.
      k: Number of neighbours with the attribute, and of neighbours without.
      goal: Mean gain at which combinations are compared.
      rounds: Number of moves of each photo before the strength is chosen.
      iterations: Number of evaluations, or 0 for the default recipe's.
      long: Number of evaluations after which an objective counts as minimised.
      long_photos: Number of photos whose objective is minimised for so long.
      features: Names of normalisations of features.
      vectors: Names of scalings of vectors.
      losses: Names of losses.
      normalized_on: Number of images that the network is normalised on.
      factors: Exponents of the powers of ten that losses are multiplied by.
      steps: Number of steps of chainer-dfi's solver.
      changes: Changes to the default recipe.
      weights: Name of the network.
      workers: Number of recipes at a time: while one is compiled, others edit.
      out: Folder for pictures.
    """

    dataset: str
    attribute: str = "Smiling"
    photos: int = 4
    k: int = 100
    goal: float = 0.5
    rounds: int = 3
    iterations: int = 0
    long: int = 60
    long_photos: int = 1
    features: tuple[str, ...] = tuple(FEATURES)
    vectors: tuple[str, ...] = tuple(VECTORS)
    losses: tuple[str, ...] = tuple(LOSSES)
    normalized_on: int = 100
    factors: tuple[int, ...] = (-4, -2, 0, 2, 4, 6, 8, 10)
    steps: int = 30
    changes: Mapping[str, str] = field(default_factory=lambda: {"features.size": "100"})
    weights: str = "vgg16"
    workers: int = 2
    out: str = "out/normalization"


QUICK = Config(
    dataset="synthetic:200:0:64",
    photos=2,
    k=10,
    rounds=2,
    iterations=4,
    long=8,
    long_photos=1,
    features=("φ", "φ/‖φ‖ by layer"),
    vectors=("w", "w/‖w‖ by layer", "‖φ‖·w/‖w‖ by layer"),
    losses=("mean",),
    normalized_on=10,
    factors=(0, 6),
    steps=3,
    changes={"features.layers": "conv1_2,conv2_1", "features.size": "32"},
    weights="random-vgg16",
    workers=2,
)


def run(config: Config) -> dict[str, Any]:
    """Edits the photos with every combination, and returns the rows of all tables."""
    dataset, base = load_dataset(config.dataset), Recipe().set(config.changes)
    if config.iterations:
        base = base.set({"solver.iterations": str(config.iterations)})
    size = base.features.size
    with phase("judge"):
        subjects = Subjects.of(dataset, config.attribute, photos=config.photos)
        faces, selections = subjects.faces(size), subjects.neighbors(config.k)
    stages = [base.features.replace(normalization=FEATURES[name]) for name in config.features]
    loaded = load_networks(config.weights, subjects.library, images=config.normalized_on, size=size)
    seen: dict[tuple[str, str], Photos] = {}
    for name, vgg in loaded.items():
        with phase(f"vectors, {name} network"):
            photos = see(vgg, faces, selections, stages)
            seen |= {(name, kind): each for kind, each in zip(config.features, photos, strict=True)}
    networks = {name: fast(vgg, recipe=base) for name, vgg in loaded.items()}
    trial = Trial(networks, seen, subjects, base, config)
    save_sheet(Path(config.out, config.attribute, FACES), faces[:SHOWN])
    jobs = [
        (kind, loss) for kind in config.features for loss in differing_losses(kind, config.losses)
    ]
    with phase("all edits"), ThreadPoolExecutor(config.workers) as pool:
        rows = [row for some in pool.map(lambda job: trial.resume(*job), jobs) for row in some]
    with phase("all factors"), ThreadPoolExecutor(config.workers) as pool:
        factors = list(
            pool.map(
                lambda job: loss_factors.compare(
                    networks["raw"],
                    seen["raw", job[0]].first(config.long_photos),
                    name=job[0],
                    stage=base.features.replace(normalization=FEATURES[job[0]]),
                    loss=job[1],
                    exponents=config.factors,
                    steps=config.steps,
                ),
                itertools.product(config.features, loss_factors.LOSSES),
            )
        )
    return {
        "config": dataclasses.asdict(config),
        "photos": [dataset.names[row] for row in subjects.rows],
        "rows": rows,
        "factors": factors,
    }


Family = dict[str, Moves]
"""Vectors in the same direction, as what each of them multiplies the layers of w by."""


def families(photos: Photos, names: Sequence[str]) -> list[Family]:
    """Returns vectors in families. Those of a family share the gains after moves of a length."""
    found: list[Family] = []
    for name in names:
        factors = photos.factors(VECTORS[name])
        for family in found:
            if same_direction(photos, factors, next(iter(family.values()))):
                family[name] = factors
                break
        else:
            found.append({name: factors})
    return found


def same_direction(photos: Photos, first: Moves, second: Moves) -> bool:
    """Returns whether two vectors differ in length alone, for every photo."""
    first, second = (moves / photos.relative(moves)[:, None] for moves in (first, second))
    return np.allclose(first, second, rtol=1e-3)


@dataclass(frozen=True, eq=False)
class Trial:
    """What all combinations share.

    Attributes:
      networks: Networks by name.
      seen: Photos by the names of network and normalisation of features.
      subjects: The photos, and who judges them.
      base: The recipe that the combinations change.
      config: The configuration.
    """

    networks: dict[str, VGG]
    seen: dict[tuple[str, str], Photos]
    subjects: Subjects
    base: Recipe
    config: Config

    def resume(self, kind: str, loss: str) -> list[dict[str, Any]]:
        """Returns `rows` from a file, or else makes them and writes the file."""
        same = dataclasses.replace(self.config, out="", workers=1)
        name = f"{list(FEATURES).index(kind)}-{loss}.json"
        path = Path(self.config.out, digest(dataclasses.asdict(same)), name)
        return kept_rows(path, lambda: self.rows(kind, loss))

    def rows(self, kind: str, loss: str) -> list[dict[str, Any]]:
        """Returns a row for every combination with a normalisation of features and a loss."""
        # The stage `vector` isn't part of the recipe here, so all vectors share one program.
        recipe = self.base.replace(
            features=self.base.features.replace(normalization=FEATURES[kind]),
            objective=self.base.objective.replace(loss=LOSSES[loss]),
        )
        with phase(f"{kind}, {loss}"):
            return [
                {"network": network, "features": kind, "loss": loss, **row}
                for network in self.networks
                for row in self._rows(network, kind, loss, recipe)
            ]

    def _rows(self, network: str, kind: str, loss: str, recipe: Recipe) -> Iterator[dict[str, Any]]:
        vgg, photos, config = self.networks[network], self.seen[network, kind], self.config
        editing = Editing(vgg=vgg, photos=photos, subjects=self.subjects, recipe=recipe)
        traced = []
        for family in families(photos, differing_vectors(kind, config.vectors)):
            factors = next(iter(family.values()))
            curves = editing.trace(factors, goal=config.goal, rounds=config.rounds)
            traced.append((family, curves))
        done = self._minimise(editing, traced)
        for (family, curves), share in zip(traced, done, strict=True):
            for name, factors in family.items():
                row, edited = editing.match(factors, curves, goal=config.goal)
                positions = f"{list(FEATURES).index(kind)}-{list(VECTORS).index(name)}"
                picture = f"{network}-{positions}-{loss}.jpg"
                save_sheet(Path(config.out, config.attribute, picture), edited[:SHOWN])
                yield {"vector": name, "picture": picture, "done": share, **row}

    def _minimise(self, editing: Editing, traced: Sequence[tuple[Family, Curves]]) -> list[float]:
        """Returns the part of the decrease that each family reaches in the recipe's evaluations."""
        count, problems = self.config.long_photos, []
        few = editing.photos.first(count)
        for family, curves in traced:
            factors = next(iter(family.values()))[:count]
            needed = curves.needed(self.config.goal)[:count]
            longest = curves.lengths.max(axis=1)[:count]
            lengths = np.where(np.isnan(needed), longest, needed)
            problems.append(few.problem(factors * (lengths / few.relative(factors))[:, None]))
        batch = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *problems)
        long = editing.recipe.set({"solver.iterations": str(self.config.long)})
        history = edit(editing.vgg, batch, recipe=long).history
        start, now, end = (history[:, i] for i in (0, editing.recipe.solver.iterations - 1, -1))
        return [float(some.mean()) for some in np.split((start - now) / (start - end), len(traced))]


def print_tables(record: dict[str, Any]) -> None:
    """Prints the effect of each choice, what chainer-dfi's author claims, and all combinations."""
    print_choices(record["rows"], record["config"]["goal"])
    print()
    print_claims(record)
    print()
    loss_factors.print_table(record["factors"])
    columns = [*CHOICES, "α", "α of photos", "not reached", "gain", *MEASURES]
    print(f"\n| {' | '.join(columns)} |")
    print("| --- " * len(columns) + "|")
    for row in record["rows"]:
        names = " | ".join(row[choice] for choice in CHOICES)
        strengths = (
            f"{row['alpha']:.3g} | {ends(row['alphas'])} | {row['unreached']} | {row['gain']:.2f}"
        )
        print(f"| {names} | {strengths} | {cells(row)} |")


def print_choices(rows: Sequence[Mapping[str, Any]], goal: float) -> None:
    """Prints the median over all combinations with each choice that come near to the goal."""
    print(f"| choice | combinations | {' | '.join(MEASURES)} |")
    print("| --- " * (2 + len(MEASURES)) + "|")
    for choice, options in CHOICES.items():
        for option in options:
            some = [row for row in rows if row[choice] == option]
            near = [row for row in some if abs(row["gain"] - goal) <= CLOSE * goal]
            if some:
                medians = {name: median_of(row[name] for row in near) for name in MEASURES}
                count = f"{len(near)} of {len(some)}"
                print(f"| {choice}: {option} | {count} | {cells(medians)} |")


def print_claims(record: dict[str, Any]) -> None:
    """Prints the strengths of unit vectors with and without the norm of the features."""
    print("| network | loss | vector | α of photos | largest ÷ smallest | varies |")
    print("| --- " * 6 + "|")
    for row in record["rows"]:
        if row["features"] == "φ" and "‖w‖" in row["vector"]:
            alphas = [alpha for alpha in row["alphas"] if np.isfinite(alpha)] or [float("nan")]
            names = f"{row['network']} | {row['loss']} | {row['vector']}"
            ratio = max(alphas) / min(alphas)
            print(f"| {names} | {ends(alphas)} | {ratio:.1f} | {row['varies']:.2f} |")


def median_of(values: Iterable[float]) -> float:
    """Returns the median of the known values."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def cells(row: Mapping[str, Any]) -> str:
    """Returns the measures of a row as cells of a table."""
    return " | ".join(f"{row[name]:.2f}" for name in MEASURES)


def ends(values: Sequence[float]) -> str:
    """Returns the smallest and the largest value."""
    known = [value for value in values if np.isfinite(value)]
    return f"{min(known):.3g} … {max(known):.3g}" if known else "none"


def main() -> None:
    """Prints the tables, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
