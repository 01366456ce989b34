"""`Editor`: from photos and attributes to edited photos."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from dfi_jax.data.dataset import Dataset
from dfi_jax.data.near import Nearness
from dfi_jax.data.rule import Rule
from dfi_jax.data.selection import Selection
from dfi_jax.data.wanted import Wanted
from dfi_jax.editor.assembly import prepare_work
from dfi_jax.editor.job import AttributeLike, Job, resolve_rule
from dfi_jax.editor.query import (
    Query,
    check_images,
    find_selection,
    find_vector,
    locate_photo,
)
from dfi_jax.editor.record import make_record
from dfi_jax.editor.result import Edit
from dfi_jax.editor.solve import refine, solve_in_turn, solve_queue, solve_unedited, with_total
from dfi_jax.editor.work import Work
from dfi_jax.engine.problem import check_network
from dfi_jax.engine.reconstruction import prepare_for
from dfi_jax.engine.share import Share
from dfi_jax.engine.slots import Reconstruction
from dfi_jax.errors import DfiError, InputError
from dfi_jax.network.conv import Precision
from dfi_jax.network.vgg import VGG
from dfi_jax.network.weights import load_vgg
from dfi_jax.photo.choice import FaceLike
from dfi_jax.photo.photo import PhotoLike
from dfi_jax.progress import OnProgress, begin
from dfi_jax.recipe import CancelResidual, FromPrevious, Recipe, named_recipe
from dfi_jax.storage.cache import Cache
from dfi_jax.storage.fields import plain
from dfi_jax.storage.files import user_path
from dfi_jax.vectors import probes
from dfi_jax.vectors.attribute_vector import AttributeVector
from dfi_jax.vectors.fit import fit as fit_dataset
from dfi_jax.vectors.fitted import FittedDataset

LARGEST_BATCH_SIZE = 1_000_000
"""Largest number of problems at a time, which is far beyond the memory of any device."""

OnFailure = Callable[[Job, DfiError], None]
"""A function that is called with a job that failed, and with the error."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Editor:
    """Edits photos with one recipe and one network, which is loaded once.

    Attributes:
      recipe: The recipe, or its name.
      weights: The name of a network, the path of its weights, or a network.
      precision: Precision of the convolutions. It has no effect if `weights` is a network.
      cache: Cache in which means, probes and landmarks are stored, or None.
      batch_size: Maximum number of problems at a time. By default, it depends on the devices and
        their memory (`engine.reconstruction.largest_batch`).

    >>> editor = Editor(weights="random-vgg16", cache=None)
    >>> editor.recipe.solver.iterations
    30
    """

    recipe: Recipe | str = "default"
    weights: str | Path | VGG = "vgg16"
    precision: Precision = "highest"
    cache: Cache | None = field(default_factory=Cache)
    batch_size: int | None = None
    # A frozen dataclass can still fill a list, so the network is loaded when it is needed.
    _loaded: list[VGG] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.recipe, str):
            object.__setattr__(self, "recipe", named_recipe(self.recipe))
        object.__setattr__(self, "batch_size", plain(self.batch_size))
        for name, kinds, wanted in (
            ("recipe", Recipe, "a Recipe, or the name of one"),
            (
                "weights",
                str | Path | VGG,
                "the name of a network, the path of its weights or a VGG",
            ),
            ("cache", Cache | None, "a Cache, or None for no cache"),
            ("batch_size", int | None, "a whole number"),
        ):
            if not isinstance(value := getattr(self, name), kinds):
                raise InputError(f"{name} is {value!r}; give {wanted}.")
        if self.batch_size is not None and not 1 <= self.batch_size <= LARGEST_BATCH_SIZE:
            raise InputError(f"batch_size is {self.batch_size}; give 1 to {LARGEST_BATCH_SIZE:,}.")

    @property
    def vgg(self) -> VGG:
        """The network, which is loaded at the first use."""
        return self.load()

    def load(self, *, on_progress: OnProgress | None = None) -> VGG:
        """Returns the network, which is loaded at the first call.

        Args:
          on_progress: Function that is called with the progress of a download.

        Raises:
          InputError: If the network doesn't exist, or its weights don't suit the recipe.
          FileError: If the weights can't be read or downloaded.

        >>> Editor(weights="random-vgg16", cache=None).load().name
        'random-vgg16'
        """
        if not self._loaded:
            vgg = self.weights
            if not isinstance(vgg, VGG):
                if on_progress is not None:
                    on_progress(begin("loading the network"))
                vgg = load_vgg(vgg, precision=self.precision, on_progress=on_progress)
            check_network(vgg, recipe=self.resolved_recipe)
            self._loaded.append(vgg)
        return self._loaded[0]

    def edit(
        self,
        photo: PhotoLike,
        attribute: AttributeLike,
        *,
        alphas: Sequence[float] | None = None,
        dataset: Dataset | FittedDataset | None = None,
        rule: Rule | str = "default",
        near: Nearness | None = None,
        k: int | None = None,
        face: FaceLike = "auto",
        points: Literal[5, 68] = 5,
        warp: bool = False,
        mask: PhotoLike | None = None,
        finer: Sequence[AttributeVector | str | Path] = (),
        on_progress: OnProgress | None = None,
    ) -> Edit:
        """Edits one photo.

        The arguments are the fields of `Job`, and `on_progress` as in `edit_many`.

        Raises:
          InputError: If an argument can't be used, or no face is found.
          FileError: If a file can't be read, or an extra isn't installed.

        >>> import dfi_jax
        >>> face = dfi_jax.load_dataset("synthetic:1").face(0, 200)
        >>> editor = Editor(recipe=Recipe().set({"solver.iterations": "2"}))
        >>> editor.edit(face, "eyeglasses", face="whole").iterations.tolist()
        [2]
        """
        job = Job(
            photo=photo,
            attribute=attribute,
            alphas=alphas,
            dataset=dataset,
            rule=rule,
            near=near,
            k=k,
            face=face,
            points=points,
            warp=warp,
            mask=mask,
            finer=finer,
        )
        ((_, edited),) = self.edit_many([job], on_progress=on_progress)
        return edited

    def edit_many(
        self,
        jobs: Iterable[Job],
        *,
        on_progress: OnProgress | None = None,
        on_failure: OnFailure | None = None,
    ) -> Iterator[tuple[Job, Edit]]:
        """Edits any number of photos, whose strengths all pass through the devices in one queue.

        Each photo is edited as it would be alone: to the bit if one problem at a time is solved, as
        on a CPU, and up to the rounding of float32 otherwise. Jobs are taken one by one, shortly
        before there is room for them.

        Args:
          jobs: The jobs, in any number.
          on_progress: Function that is called with the progress of every phase.
          on_failure: Function that is called with each job that fails, and with the error. The
            other jobs continue. By default, the error is raised.

        Yields:
          Each job and its edit, as soon as it is done.

        Raises:
          InputError: If an argument can't be used, or no face is found.
          FileError: If a file can't be read, or an extra isn't installed.

        >>> recipe = Recipe().set({"features.layers": "conv1_1", "solver.iterations": "1"})
        >>> editor = Editor(recipe=recipe, weights="random-vgg16", cache=None)
        >>> jobs = [Job(photo="no-such.jpg", attribute="older")]
        >>> list(editor.edit_many(jobs, on_failure=lambda job, error: print(error)))
        no-such.jpg doesn't exist; check the path.
        []
        """
        self.load(on_progress=on_progress)
        watch = with_total(on_progress, jobs, recipe=self.resolved_recipe)
        prepared = self._prepare_all(jobs, on_progress=on_progress, on_failure=on_failure)
        first = next(prepared, None)
        if first is None:
            return
        # Preparing takes seconds, so a first photo that can't be edited fails before it.
        vgg = self._prepared_vgg
        works = chain(iter([first]), prepared)
        del first  # It holds its photo. An iterator forgets what it has given out; a list doesn't.
        if isinstance(self.resolved_recipe.start, FromPrevious):
            solved = solve_in_turn(vgg, works, recipe=self.resolved_recipe, on_progress=watch)
        else:
            solved = solve_queue(
                vgg,
                works,
                recipe=self.resolved_recipe,
                batch_size=self.batch_size,
                on_progress=watch,
            )
        for work, result in solved:
            refined = refine(vgg, work, result, batch_size=self.batch_size, on_progress=on_progress)
            try:
                edit = self._finish(work, refined, on_progress=on_progress)
            except (DfiError, MemoryError) as error:
                _fail(work.job, error, on_failure)
            else:
                yield work.job, edit

    def vector(
        self,
        attribute: AttributeLike,
        *,
        dataset: Dataset | FittedDataset | None = None,
        photo: PhotoLike | None = None,
        rule: Rule | str = "default",
        near: Nearness | None = None,
        k: int | None = None,
        face: FaceLike = "auto",
        points: Literal[5, 68] = 5,
        on_progress: OnProgress | None = None,
    ) -> AttributeVector:
        """Returns the attribute vector that an edit would use.

        The arguments are those of `select`. Without a dataset, the attribute is a starter vector's
        name, a vector's file, or another form of an existing vector (`AttributeLike`).

        Raises:
          InputError: If an argument can't be used, or no face is found.
          FileError: If a file can't be read, or an extra isn't installed.

        >>> Editor(weights="random-vgg16", cache=None).vector("older").provenance.n_target
        1880
        """
        query = self._query(
            dataset,
            photo,
            rule=resolve_rule(dataset, rule=rule, near=near, k=k),
            face=face,
            points=points,
            on_progress=on_progress,
        )
        return find_vector(self.vgg, attribute, query, recipe=self.resolved_recipe).vector

    def fit(
        self,
        dataset: Dataset,
        *,
        where: str = "",
        warp: bool = False,
        folder: str | Path | None = None,
        share: Share | None = None,
        on_progress: OnProgress | None = None,
    ) -> FittedDataset:
        """Returns a fitted dataset, from which every attribute vector follows at once.

        It takes one pass over the images; `vectors.fit.fit` describes it. Give the result as the
        dataset of any number of edits.

        Args:
          dataset: A dataset with scores.
          where: Attributes that all images have or lack, such as `+Male`.
          warp: Whether faces are warped to the geometry of the average face, for jobs with a warp.
            Expressions lose their shape (docs/turned_heads.md). It needs the extra `faces`.
          folder: Folder that the result is written to, and from which an interrupted pass resumes.
          share: Share of this process, if several fit the dataset together. They need a folder,
            and `FittedDataset.load` adds up what they wrote.
          on_progress: Function that is called with the number of images done.

        Raises:
          InputError: If the dataset has no scores, or no image has the attributes.
          FileError: If an image can't be read, or the folder has a fit of something else.

        >>> import dfi_jax
        >>> recipe = Recipe().set({"features.layers": "conv1_1", "features.size": "32"})
        >>> editor = Editor(recipe=recipe, weights="random-vgg16", cache=None)
        >>> people = editor.fit(dfi_jax.load_dataset("synthetic:40"))
        >>> editor.vector("~Smiling", dataset=people).provenance.attributes
        ('~Smiling',)
        """
        dataset = check_images(dataset)
        return fit_dataset(
            self.vgg,
            dataclasses.replace(dataset, warped=True) if warp else dataset,
            recipe=self.resolved_recipe,
            where=where,
            folder=None if folder is None else user_path(folder),
            share=share,
            on_progress=on_progress,
        )

    def select(
        self,
        attribute: str | Wanted | None,
        *,
        dataset: Dataset,
        photo: PhotoLike | None = None,
        rule: Rule | str = "default",
        near: Nearness | None = None,
        k: int | None = None,
        face: FaceLike = "auto",
        points: Literal[5, 68] = 5,
        on_progress: OnProgress | None = None,
    ) -> Selection:
        """Returns the images of a dataset that an edit would use.

        Args:
          attribute: Wanted attributes, or their text. None stands for the attribute of a dataset
            that has only one.
          dataset: The dataset.
          photo: The photo that the images should be near. Without a photo, the images are spread
            evenly over all that qualify.
          rule: Rule by which images are selected, as for `Job`.
          near: Nearness by which images are selected, if it isn't the rule's.
          k: Maximum number of images per set, if it isn't the rule's.
          face: The face in the photo, as for `Job`.
          points: Number of landmarks that a detected face is aligned by.
          on_progress: Function that is called with the progress of every phase.

        Raises:
          InputError: If an argument can't be used, or no face is found.
          FileError: If a file can't be read, or an extra isn't installed.

        >>> import dfi_jax
        >>> people = dfi_jax.load_dataset("synthetic:40")
        >>> editor = Editor(weights="random-vgg16", cache=None)
        >>> selection = editor.select("Smiling", dataset=people, k=3)
        >>> bool((people.scores[selection.target, 0] >= 0.5).all())
        True
        """
        query = self._query(
            dataset,
            photo,
            rule=resolve_rule(dataset, rule=rule, near=near, k=k),
            face=face,
            points=points,
            on_progress=on_progress,
        )
        return find_selection(self.vgg, attribute, query, size=self.resolved_recipe.features.size)

    def scores(
        self,
        photo: PhotoLike,
        *,
        dataset: Dataset,
        face: FaceLike = "auto",
        points: Literal[5, 68] = 5,
        on_progress: OnProgress | None = None,
    ) -> tuple[Float[np.ndarray, " a"], probes.Probes]:
        """Returns a photo's attribute scores as probes estimate them, and the probes.

        Args:
          photo: The photo.
          dataset: The dataset that the probes are fitted on.
          face: The face in the photo, as for `Job`.
          points: Number of landmarks that a detected face is aligned by.
          on_progress: Function that is called with the progress of the fit.

        Raises:
          InputError: If the dataset has no scores, or no face is found.
          FileError: If a file can't be read, or an extra isn't installed.

        >>> from dfi_jax.data import synthetic
        >>> people = synthetic.load(10, size=50)
        >>> editor = Editor(weights="random-vgg16", cache=None)
        >>> scores, fitted = editor.scores(people.face(0, 50), dataset=people, face="whole")
        >>> scores.shape, fitted.attributes[0]
        ((7,), 'Smiling')
        """
        dataset = check_images(dataset)
        located = locate_photo(photo, dataset=dataset, face=face, points=points)
        fitted = probes.fit(self.vgg, dataset, cache=self.cache, on_progress=on_progress)
        crop = located.placement.crop(located.photo.pixels)
        return probes.estimate(self.vgg, fitted, crop), fitted

    @property
    def resolved_recipe(self) -> Recipe:
        """The recipe itself, even if its name was given."""
        assert isinstance(self.recipe, Recipe)
        return self.recipe

    @cached_property
    def _prepared_vgg(self) -> VGG:
        """The network as the queue uses it, prepared once for all edits."""
        return prepare_for(self.vgg, recipe=self.resolved_recipe)

    def _query(
        self,
        dataset: Dataset | FittedDataset | None,
        photo: PhotoLike | None,
        *,
        rule: Rule,
        face: FaceLike,
        points: Literal[5, 68],
        on_progress: OnProgress | None,
    ) -> Query:
        located = None
        if photo is not None:
            located = locate_photo(photo, dataset=dataset, face=face, points=points)
        return Query(
            dataset=dataset,
            located=located,
            rule=rule,
            cache=self.cache,
            on_progress=on_progress,
        )

    def _prepare_all(
        self,
        jobs: Iterable[Job],
        *,
        on_progress: OnProgress | None,
        on_failure: OnFailure | None,
    ) -> Iterator[Work]:
        for i, job in enumerate(jobs):
            # Later photos are opened while the devices work, which is reported meanwhile.
            if i == 0 and on_progress is not None:
                on_progress(begin("opening the photo"))
            try:
                yield prepare_work(
                    job,
                    vgg=self.vgg,
                    recipe=self.resolved_recipe,
                    cache=self.cache,
                    on_progress=on_progress,
                )
            except (DfiError, MemoryError) as error:
                _fail(job, error, on_failure)

    def _finish(
        self, work: Work, result: Reconstruction, *, on_progress: OnProgress | None
    ) -> Edit:
        vgg, started = self._prepared_vgg, time.perf_counter()
        *_, finest = work.sizes()
        unedited: list[np.ndarray] = []
        for step in work.recipe.finish:
            if isinstance(step, CancelResidual):
                unedited = solve_unedited(vgg, work, step, on_progress=on_progress)
        faces = np.stack([finest.as_face(z) for z in result.images])
        pixels = tuple(
            finest.finish(z, alpha=alpha, unedited=unedited)
            for alpha, z in zip(work.alphas, faces, strict=True)
        )
        work.seconds["finish"] = time.perf_counter() - started
        return Edit(
            photo=work.located.photo,
            placement=work.located.placement,
            face=finest.face,
            faces=faces,
            pixels=pixels,
            alphas=work.alphas,
            objective=result.objective,
            history=result.history,
            iterations=result.iterations,
            record=make_record(work, result, vgg=vgg, batch_size=self.batch_size),
        )


def _fail(job: Job, error: DfiError | MemoryError, on_failure: OnFailure | None) -> None:
    """Reports that a job failed, or raises its error if nobody listens."""
    if on_failure is None:
        raise error
    if isinstance(error, MemoryError):
        error = InputError(f"{job.label} needs more memory than there is; make its photo smaller.")
    on_failure(job, error)
