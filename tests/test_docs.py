"""The README and docs: every example runs, every link resolves, and everything is explained."""

import ast
import hashlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image
from programs import NEEDS
from typer.main import get_command
from typer.testing import CliRunner

import dfi_jax
from dfi_jax.network.weights.catalog import CATALOG
from dfi_jax.photo.faces import CANONICAL_CORNERS, CANONICAL_LANDMARKS, Face
from dfi_jax.photo.placement import CANONICAL_SIZE

ROOT = Path(__file__).parents[1]
PAGES = {path.name: path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
EXPLAINING = ("README.md", "glossary.md", "recipes.md")

NOT_RUN = ("make ", "pip install ", "python benchmarks/", "python experiments/")
"""Commands that install packages, or that are tested where they are."""

OPTIONS_OF_OTHERS = {
    *("--quick", "--people", "--frames", "--no-host", "--published"),
    *("--clip-rect", "--discrete-knn", "--extradata", "--list-features", "--random-start"),
}
"""Options of benchmarks, experiments, and the published systems."""


def read_blocks(page, language):
    """The line number and the text of each fenced block in a language."""
    text = PAGES[page].read_text(encoding="utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text[: block.start(1)].count("\n") + 1, block[1]) for block in found]


def read_commands(page):
    """The commands of a page, with continuation lines joined and comments removed."""
    lines = "".join(text for _, text in read_blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def read_prose(page):
    """A page without its fenced blocks."""
    return re.sub(
        r"^```.*?^```$", "", PAGES[page].read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )


def read_code(page):
    """The code between backticks in the text of a page."""
    return re.findall(r"`([^`]+)`", read_prose(page))


def list_commands(command, path=("dfi",)):
    """Every command and group of a command line, by its words."""
    yield path, command
    for name, part in getattr(command, "commands", {}).items():
        yield from list_commands(part, (*path, name))


@pytest.fixture(scope="session")
def vgg19_file(tmp_path_factory):
    """VGG-19 with random filters, in torchvision's names."""
    from dfi_jax.network.weights.formats import torchvision_indices

    tensors = {}
    for layer, parts in dfi_jax.load_vgg("random-vgg19").params.items():
        n = torchvision_indices("vgg19")[layer]
        kernel = np.asarray(parts["kernel"]).transpose(3, 2, 0, 1)
        tensors[f"features.{n}.weight"] = np.ascontiguousarray(kernel)
        tensors[f"features.{n}.bias"] = np.asarray(parts["bias"])
    path = tmp_path_factory.mktemp("vgg19") / "vgg19.safetensors"
    safetensors.numpy.save_file(tensors, path)
    return path


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory, vgg19_file):
    """A cache that all examples share. It holds weights as if they were downloaded."""
    cache = tmp_path_factory.mktemp("examples-cache")
    (cache / "weights").mkdir()
    digest = hashlib.sha256(vgg19_file.read_bytes()).hexdigest()
    for name in ("VGG_ILSVRC_19_layers.caffemodel", "vgg_normalised.caffemodel"):
        (cache / "weights" / name).symlink_to(vgg19_file)
        (cache / "weights" / f"{name}.sha256").write_text(f"{digest}  {name}\n")
    return cache


@pytest.fixture(scope="session")
def few_people(tmp_path_factory, lfw_folder):
    """The first ten people of `lfw_folder`, because features of photos take most of the time."""
    root = tmp_path_factory.mktemp("few-people")
    comment, names, *rows = (lfw_folder / "lfw_attributes.txt").read_text().splitlines()
    (root / "lfw-deepfunneled").mkdir()
    for row in rows[:20]:
        person = row.split("\t")[0].replace(" ", "_")
        link = root / "lfw-deepfunneled" / person
        if not link.exists():
            link.symlink_to(lfw_folder / "lfw-deepfunneled" / person)
    (root / "lfw_attributes.txt").write_text("\n".join([comment, names, *rows[:20]]) + "\n")
    return root


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Three photos, and two folders of drawn faces without and with an attribute."""
    folder = tmp_path_factory.mktemp("pictures")
    people = dfi_jax.load_dataset("synthetic:20")
    for i, name in enumerate(("me", "you", "shoe")):
        write_face(people.face(i, 300), folder / f"{name}.jpg")
    for i in range(len(people)):
        write_face(people.face(i, 64), folder / ("WITH" if i % 2 else "WITHOUT") / f"{i}.png")
    return folder


@pytest.fixture
def scratch(tmp_path, monkeypatch, few_people, pictures, vgg19_file, shared_cache):
    """The folder in which examples run, with the files that they use. Edits are quick."""
    monkeypatch.setenv("DFI_JAX_CACHE", str(shared_cache))
    monkeypatch.chdir(tmp_path)
    for name, recipe in dfi_jax.RECIPES.items():
        monkeypatch.setitem(dfi_jax.RECIPES, name, make_quick(recipe))
    # Reading PyTorch's file would need torch; Caffe's name is open to safetensors.
    monkeypatch.setitem(CATALOG, "vgg19", CATALOG["vgg19-caffe"])
    monkeypatch.setattr("dfi_jax.photo.faces.installed", lambda: True)
    monkeypatch.setattr("dfi_jax.photo.faces.detect", detect_whole)
    monkeypatch.setattr("dfi_jax.photo.faces.is_upside_down", lambda pixels, face: False)
    for picture in pictures.iterdir():
        Path(picture.name).symlink_to(picture)
    Path("DIR").symlink_to(few_people)
    Path("VGG_ILSVRC_19_layers.caffemodel").symlink_to(vgg19_file)
    ((_, manifest),) = read_blocks("README.md", "json")
    Path("jobs.jsonl").write_text(manifest)
    return tmp_path


def make_quick(recipe):
    """A recipe with two iterations."""
    finish = tuple(
        step.replace(iterations=2, every=1) if isinstance(step, dfi_jax.CancelResidual) else step
        for step in recipe.finish
    )
    return recipe.replace(solver=recipe.solver.replace(iterations=2), finish=finish)


def detect_whole(pixels, *, points=5):
    """One face, which is the whole photo."""
    height, width = pixels.shape[:2]
    template = CANONICAL_CORNERS if points == 5 else CANONICAL_LANDMARKS
    return [Face((0, 0, width, height), template * (width / CANONICAL_SIZE))]


def write_face(pixels, path):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.round(255 * pixels).astype(np.uint8)).save(path)


@pytest.mark.parametrize("page", [page for page in PAGES if read_blocks(page, "python")])
def test_python_examples_run(page, scratch):
    names = {"__name__": "example"}
    for line, text in read_blocks(page, "python"):
        source = "\n" * (line - 1) + text  # A traceback has the page's line numbers.
        exec(compile(source, PAGES[page], "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if read_blocks(page, "sh")])
def test_commands_run(page, scratch):
    from dfi_jax.cli.main import app

    for words in read_commands(page):
        if " ".join(words).startswith(NOT_RUN):
            continue
        assert words[0] == "dfi", f"{page}: {words} is neither a dfi command nor in NOT_RUN"
        expanded = []
        for word in words[1:]:
            expanded += sorted(map(str, Path().glob(word))) if "*" in word else [word]
        result = CliRunner().invoke(app, expanded)
        assert result.exit_code == 0, f"{page}: {shlex.join(words)}\n{result.output}"


def test_every_program_is_listed_with_its_question():
    listed = re.findall(
        r"^\| `(\w+/\w+)\.py` \| (.+?) \|",
        PAGES["experiments.md"].read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    questions = {}
    for name in NEEDS:
        docstring = ast.get_docstring(ast.parse((ROOT / f"{name}.py").read_text(encoding="utf-8")))
        questions[name] = docstring.split("\n\n")[0]
    assert dict(listed) == questions


def read_programs():
    """The commands on all pages that run an experiment or a benchmark, in blocks or in the text."""
    found = {}
    for page in PAGES:
        for words in [*read_commands(page), *map(shlex.split, read_code(page))]:
            if words[:1] == ["python"] and re.match("(experiments|benchmarks)/", words[1]):
                found[shlex.join(words)] = words[1:]
    return [pytest.param(words, id=command) for command, words in found.items()]


@pytest.mark.parametrize("words", read_programs())
def test_commands_of_programs_are_accepted(words, monkeypatch):
    path, *arguments = words
    for package in NEEDS[path.removesuffix(".py")]:
        pytest.importorskip(package)
    given = []

    def stop(config):
        given.append(config)
        raise SystemExit

    monkeypatch.syspath_prepend(str((ROOT / path).parent))
    monkeypatch.setattr(sys, "argv", [path, *arguments])
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "run", stop)
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code is None, "the arguments were rejected"
    if getattr(given[0], "dataset", ""):
        assert re.match("[a-z]+:", given[0].dataset), "the dataset isn't a text like lfw:DIR"


@pytest.mark.parametrize("page", PAGES)
def test_blocks_are_of_a_language_that_is_tested(page):
    text = PAGES[page].read_text(encoding="utf-8")
    assert set(re.findall(r"^```(.*)$", text, re.MULTILINE)) <= {"", "python", "sh", "json"}
    assert not re.search(r"^ {4,}(dfi|import|from|pip|make) ", read_prose(page), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_in_the_text_exist(page):
    from dfi_jax.cli.main import app

    commands = dict(list_commands(get_command(app)))
    options = {
        option for command in commands.values() for each in command.params for option in each.opts
    }
    code = " ".join(read_code(page))
    assert set(re.findall(r"--[a-z][a-z-]*", code)) <= options | OPTIONS_OF_OTHERS | {"--help"}
    for words in re.findall(r"`(dfi [a-z]+(?: [a-z]+)?)", read_prose(page)):
        path = tuple(words.split())
        assert path[:2] in commands, words
        assert not hasattr(commands[path[:2]], "commands") or path in commands, words


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", read_prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = PAGES[page].parent / file if file else PAGES[page]
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings]
            assert anchor in slugs, target


@pytest.mark.parametrize("page", PAGES)
def test_lines_are_short_except_tables_and_links(page):
    lines = PAGES[page].read_text(encoding="utf-8").splitlines()
    assert [
        line for line in lines if len(line) > 100 and not line.startswith("|") and "](" not in line
    ] == []


def test_every_public_name_is_explained():
    code = " ".join(" ".join(read_code(page)) for page in EXPLAINING) + "".join(
        text for page in EXPLAINING for _, text in read_blocks(page, "python")
    )
    words = set(re.findall(r"\w+", code))
    assert [name for name in dfi_jax.__all__ if name not in words] == []


def test_every_public_name_has_one_place_in_the_reference():
    pages = {path.name: path.read_text() for path in (ROOT / "docs" / "reference").glob("*.md")}
    names = re.findall(r"^::: dfi_jax\.([A-Za-z0-9_]+)$", "\n".join(pages.values()), re.MULTILINE)
    assert sorted(names) == sorted(dfi_jax.__all__)
    site = (ROOT / "mkdocs.yml").read_text()
    assert [page for page in pages if f"- reference/{page}" not in site] == []


def test_tables_are_those_of_the_records():
    tables = load_program(ROOT / "docs" / "tables.py")
    for name, path in PAGES.items():
        page = path.read_text(encoding="utf-8")
        assert tables.fill(page) == page, f"{name} differs from its records; run make docs-tables."


def test_every_record_has_a_table():
    named = {
        found[4]
        for path in PAGES.values()
        for found in load_program(ROOT / "docs" / "tables.py").TABLE.finditer(
            path.read_text("utf-8")
        )
    }
    assert named == {path.stem for path in (ROOT / "docs" / "records").glob("*.json")}


def load_program(path):
    """A Python file outside the package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
