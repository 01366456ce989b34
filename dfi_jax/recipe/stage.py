"""What all stages of a recipe share: fields that check themselves, paths to set them, and JSON."""

import dataclasses
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

from dfi_jax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a recipe: a frozen dataclass whose fields are numbers, names and other stages.

    Every field is checked against its annotation and against `least`, so every stage that exists
    is valid.

    Raises:
      InputError: If a field has a value of the wrong type or outside its range.
    """

    kind: ClassVar[str]
    """The name of the stage on the command line and in JSON."""

    least: ClassVar[Mapping[str, float]] = {}
    """The smallest value of each numeric field that has one."""

    def __post_init__(self) -> None:
        for name, expected in field_types(type(self)).items():
            value = getattr(self, name)
            _check(f"{self.kind}.{name}", value, expected)
            if expected is float:
                # JAX takes Python's numbers for numbers of any type, and NumPy's for float64.
                object.__setattr__(self, name, float(value))
            least = self.least.get(name)
            if least is not None and value < least:
                raise InputError(
                    f"the recipe's {self.kind}.{name} is {value}; give {least:g} or more."
                )

    def replace(self, **changes: Any) -> Self:
        """Returns this stage with some fields changed.

        Raises:
          InputError: If the field doesn't exist, or a value doesn't fit it.

        >>> from dfi_jax.recipe import L2
        >>> L2().replace(scope="concat")
        L2(scope='concat')
        """
        for name in changes:
            self._check_name(name)
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON can write them, and the stage's kind under `kind`.

        >>> from dfi_jax.recipe import L2
        >>> L2().to_dict()
        {'kind': 'l2', 'scope': 'layer'}
        """
        values = {name: to_json(getattr(self, name)) for name in field_types(type(self))}
        return {"kind": self.kind} | values

    def _check_name(self, name: str) -> None:
        names = field_types(type(self))
        if name not in names:
            known = f"its fields are {', '.join(names)}" if names else "it has no fields"
            owner = "recipe" if self.kind == "recipe" else f"recipe's {self.kind}"
            raise InputError(f"the {owner} has no field {name!r}; {known}.")


def field_types(stage: type[Stage]) -> dict[str, Any]:
    """Returns the annotation of each field of a stage.

    >>> from dfi_jax.recipe import Gain
    >>> field_types(Gain)
    {'factor': <class 'float'>}
    """
    hints = get_type_hints(stage)
    return {field.name: hints[field.name] for field in dataclasses.fields(stage)}


def choices(annotation: Any) -> dict[str, type[Stage] | None]:
    """Returns the stages that a field accepts, by kind. None belongs to the kind `none`.

    >>> from dfi_jax.recipe import L2
    >>> list(choices(L2 | None))
    ['l2', 'none']
    """
    if isinstance(annotation, type) and issubclass(annotation, Stage):
        return {annotation.kind: annotation}
    if get_origin(annotation) in (Union, types.UnionType):
        found: dict[str, type[Stage] | None] = {}
        for member in get_args(annotation):
            found |= {"none": None} if member is type(None) else choices(member)
        return found
    return {}


def set_field(stage: Stage, path: str, text: str) -> Stage:
    """Returns the stage with the field at a dotted path set to the value that a text stands for.

    Args:
      stage: The stage that the path starts from.
      path: Names of fields separated by dots. In a tuple of stages, a stage's kind is its name.
      text: The new value, as `Recipe.set` describes it.

    Raises:
      InputError: If the field doesn't exist, or the text doesn't fit it.

    >>> from dfi_jax.recipe import ObjectiveStage
    >>> set_field(ObjectiveStage(), "bounds.penalty", "0.5").bounds
    ValidPixels(penalty=0.5)
    """
    name, _, rest = path.partition(".")
    stage._check_name(name)
    value, annotation = getattr(stage, name), field_types(type(stage))[name]
    if not rest:
        return stage.replace(**{name: _parse(f"{stage.kind}.{name}", text, annotation)})
    if isinstance(value, tuple):
        kind, _, rest = rest.partition(".")
        if kind not in [step.kind for step in value if isinstance(step, Stage)] or not rest:
            raise InputError(
                f"the recipe's {name} can't be set at {path!r}; give {name}=KIND,KIND,… or "
                f"{name}.KIND.FIELD=VALUE with one of its kinds."
            )
        changed = tuple(set_field(s, rest, text) if s.kind == kind else s for s in value)
        return stage.replace(**{name: changed})
    if not isinstance(value, Stage):
        kinds = [kind for kind in choices(annotation) if kind != "none"]
        advice = f"set {name}={kinds[0]} first" if kinds else f"set {name} itself"
        raise InputError(f"the recipe's {name} is {_words(value)} and has no fields; {advice}.")
    return stage.replace(**{name: set_field(value, rest, text)})


def to_json(value: Any) -> Any:
    """Returns the value of a field as JSON can write it.

    >>> from dfi_jax.recipe import L2
    >>> to_json((L2(), 3))
    [{'kind': 'l2', 'scope': 'layer'}, 3]
    """
    if isinstance(value, Stage):
        return value.to_dict()
    return [to_json(item) for item in value] if isinstance(value, tuple) else value


def from_dict(annotation: Any, values: Any, where: str) -> Any:
    """Returns the value of a field from what `Stage.to_dict` wrote.

    Raises:
      InputError: If the values don't describe a value of the field.

    >>> from dfi_jax.recipe import L2
    >>> from_dict(L2 | None, {"kind": "l2", "scope": "concat"}, "features.normalization")
    L2(scope='concat')
    """
    if get_origin(annotation) is tuple:
        if not isinstance(values, list | tuple):
            raise InputError(f"the recipe's {where} is {values!r}; give a list.")
        return tuple(from_dict(get_args(annotation)[0], value, where) for value in values)
    stages = choices(annotation)
    if not stages or values is None:
        return values
    kind = values.get("kind") if isinstance(values, Mapping) else None
    stage = stages.get(str(kind))
    if stage is None:
        raise InputError(
            f"the recipe's {where} is {values!r}; give one whose kind is {_listed(stages)}."
        )
    types = field_types(stage)
    unknown = set(values) - set(types) - {"kind"}
    if unknown:
        raise InputError(
            f"the recipe's {where} has the unknown fields {', '.join(sorted(unknown))}; "
            f"its fields are {', '.join(types)}."
        )
    fields = {
        name: from_dict(types[name], value, f"{where}.{name}")
        for name, value in values.items()
        if name != "kind"
    }
    return stage(**fields)


def _check(where: str, value: Any, expected: Any) -> None:
    if get_origin(expected) is Literal:
        if value not in get_args(expected):
            raise InputError(
                f"the recipe's {where} is {value!r}; choose from {_listed(get_args(expected))}."
            )
    elif get_origin(expected) is tuple:
        if not isinstance(value, tuple):
            raise InputError(f"the recipe's {where} is {value!r}; give a tuple.")
        for item in value:
            _check(where, item, get_args(expected)[0])
        if len(set(value)) < len(value):
            raise InputError(f"the recipe's {where} contains the same item twice; give it once.")
    elif stages := choices(expected):
        if not (
            isinstance(value, tuple(s for s in stages.values() if s is not None))
            or (value is None and "none" in stages)
        ):
            raise InputError(f"the recipe's {where} is {value!r}; give one of {_listed(stages)}.")
    elif expected is bool:
        if not isinstance(value, bool):
            raise InputError(f"the recipe's {where} is {value!r}; give true or false.")
    elif expected is str:
        if not isinstance(value, str):
            raise InputError(f"the recipe's {where} is {value!r}; give a name.")
    else:
        numbers = (int,) if expected is int else (int, float)
        # math.isfinite can't tell of an integer beyond the range of floats.
        finite = isinstance(value, numbers) and abs(value) <= sys.float_info.max
        if isinstance(value, bool) or not finite:
            raise InputError(
                f"the recipe's {where} is {value!r}; give a finite {_type_name(expected)}."
            )


def _parse(where: str, text: str, expected: Any) -> Any:
    if get_origin(expected) is tuple:
        parts = [part.strip() for part in text.split(",") if part.strip() not in ("", "none")]
        return tuple(_parse(where, part, get_args(expected)[0]) for part in parts)
    if stages := choices(expected):
        if text not in stages:
            raise InputError(f"the recipe's {where} is {text!r}; choose from {_listed(stages)}.")
        stage = stages[text]
        return None if stage is None else stage()
    if expected is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if expected in (int, float):
        try:
            return expected(text)
        except ValueError:
            raise InputError(
                f"the recipe's {where} is {text!r}; give a {_type_name(expected)}."
            ) from None
    return text


def _words(value: object) -> str:
    return "none" if value is None else repr(value)


def _type_name(expected: Any) -> str:
    return "whole number" if expected is int else "number"


def _listed(names: Any) -> str:
    return ", ".join(map(str, names))
