"""What every public name promises: documentation, keyword-only options, and one spelling."""

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import types

import pytest
import typer

import dfi_jax
from dfi_jax import manifest
from dfi_jax.cli.main import app

POSITIONAL = {
    ("load_vgg", "weights"),
    ("select", "attribute"),
}
"""Subjects of a function that have a default and may be positional all the same."""

ONLY_ON_THE_COMMAND_LINE = {
    "set",
    "out",
    "overwrite",
    "json",
    "quiet",
    "debug",
    "help",
    "distributed",
    "dtype",
    "sheet",
}
"""Options about files and the terminal, which Python has no use for."""

WITHOUT_EXAMPLE = {
    # It sets options of JAX for the whole process, and so for all examples that follow.
    "Cache.keep_compiled",
}
"""Public methods without an example."""


def public(kind):
    names = [name for name in dfi_jax.__all__ if kind(getattr(dfi_jax, name))]
    return [pytest.param(getattr(dfi_jax, name), id=name) for name in names]


def functions_of(item):
    """A function, or the public methods of a class that the package defines."""
    if inspect.isfunction(item) or hasattr(item, "lower"):
        return [inspect.unwrap(item)]
    found = []
    for name, member in vars(item).items():
        function = member.__func__ if isinstance(member, classmethod) else member
        if (
            inspect.isfunction(function)
            and not name.startswith("_")
            # Flax writes these.
            and name not in ("replace", "tree_flatten")
        ):
            found.append(function)
    return found


@pytest.mark.parametrize("item", public(callable))
def test_a_public_name_is_documented(item):
    documentation = inspect.getdoc(item)
    assert documentation
    for function in functions_of(item):
        assert function.__doc__, function.__qualname__


@pytest.mark.parametrize("item", public(callable))
def test_a_public_function_or_method_has_an_example_that_runs(item):
    shared = "".join(e.source for e in doctest.DocTestParser().get_examples(item.__doc__))
    for function in functions_of(item):
        if function.__qualname__ not in WITHOUT_EXAMPLE:
            in_class = re.search(rf"\.{function.__name__}\(", shared)
            assert ">>> " in function.__doc__ or in_class, function.__qualname__


@pytest.mark.parametrize("item", public(callable))
def test_options_are_keyword_only(item):
    for function in functions_of(item):
        for parameter in inspect.signature(function).parameters.values():
            if parameter.default is not parameter.empty:
                named = (function.__name__, parameter.name)
                keyword_only = parameter.kind == parameter.KEYWORD_ONLY
                assert keyword_only or named in POSITIONAL, f"{function.__qualname__}: {named[1]}"


@pytest.mark.parametrize("item", public(inspect.isclass))
def test_dataclasses_with_five_fields_or_more_are_keyword_only(item):
    if dataclasses.is_dataclass(item) and len(dataclasses.fields(item)) >= 5:
        parameters = list(inspect.signature(item).parameters.values())
        assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}


def test_the_list_of_public_names_is_complete_and_sorted():
    found = {
        name
        for name, value in vars(dfi_jax).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert found | {"near"} == set(dfi_jax.__all__)


def test_no_module_is_shadowed_by_another_name():
    for info in pkgutil.walk_packages(dfi_jax.__path__, "dfi_jax."):
        if info.name in ("dfi_jax.__main__", "dfi_jax.data.lfw_attributes"):
            continue  # The first runs the program, the second needs an extra.
        module = importlib.import_module(info.name)
        parent, _, name = info.name.rpartition(".")
        assert getattr(sys.modules[parent], name) is module, info.name


def test_importing_the_package_loads_neither_matplotlib_nor_requests():
    code = "import sys, dfi_jax; print({'matplotlib', 'requests', 'pooch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def command_options(name):
    command = typer.main.get_command(app).commands[name]
    return {
        option.lstrip("-").replace("-", "_")
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }


@pytest.mark.parametrize("command", ["edit", "batch", "select", "attributes"])
def test_options_of_the_command_line_are_parameters_of_the_api(command):
    known = set(inspect.signature(dfi_jax.Job).parameters)
    known |= set(inspect.signature(dfi_jax.Editor).parameters)
    options = command_options(command) - ONLY_ON_THE_COMMAND_LINE
    named = {"alphas" if option in ("alpha", "strength") else option for option in options}
    assert named <= known


def test_every_option_of_an_edit_is_on_the_command_line():
    options = command_options("edit") | {"photo", "attribute"}
    wanted = set(inspect.signature(dfi_jax.Editor.edit).parameters)
    wanted |= set(inspect.signature(dfi_jax.Editor).parameters)
    missing = wanted - options - {"self", "on_progress", "cache", "alphas", "batch_size"}
    assert not missing
    assert "alpha" in options


def test_job_fields_editing_and_the_shortcut_have_the_same_parameters():
    job = set(inspect.signature(dfi_jax.Job).parameters) - {"name"}
    edit = set(inspect.signature(dfi_jax.Editor.edit).parameters) - {"self", "on_progress"}
    shortcut = set(inspect.signature(dfi_jax.edit).parameters) - {"on_progress"}
    assert job == edit == shortcut - {"recipe", "weights"}


def test_manifests_and_records_use_the_names_of_job():
    job = dfi_jax.Job(photo="me.jpg", attribute="older")
    fields = {field.name for field in dataclasses.fields(dfi_jax.Job)}
    assert set(manifest.FIELDS) <= fields
    assert set(job.request(dfi_jax.Recipe())) <= fields


def test_errors_belong_to_one_small_family():
    assert issubclass(dfi_jax.InputError, (dfi_jax.DfiError, ValueError))
    assert issubclass(dfi_jax.FileError, (dfi_jax.DfiError, OSError))
    assert re.fullmatch(r"\d+\.\d+\.\d+", dfi_jax.__version__)
