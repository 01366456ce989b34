"""What the documentation site adds to the pages of this folder: `mkdocs.yml` names this file.

The pages that stand at the top of the repository, where readers of a repository expect them, become
pages of the site, and links to them are changed accordingly. The reference of the command line is
what Typer says about it. Examples in docstrings become blocks of code.
"""

import re
import subprocess
import sys
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages at the top of the repository, and their names on the site."""

DOWNLOADS = ("CITATION.cff",)
"""Other files that these pages link to."""

EXAMPLE = re.compile(r"^( *)>>> .*(?:\n *\S.*)*", re.MULTILINE)
"""Pattern of an example with its output, which ends at an empty line."""


class Examples(griffe.Extension):
    """Makes examples in docstrings blocks of code, so that they aren't read as Markdown."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Changes the docstring of one object."""
        if obj.docstring:
            fence = r"\1```pycon\n\g<0>\n\1```"
            obj.docstring.value = EXAMPLE.sub(fence, obj.docstring.value)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages from the top of the repository and the reference of the command line."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=move_links(text)))
    for name in DOWNLOADS:
        content = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=content))
    commands = File.generated(config, "reference/commands.md", content=describe_commands())
    files.append(commands)
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Makes links to the top of the repository point to the site's pages."""
    return re.sub(r"\]\(\.\./([A-Z]+\.md)", lambda link: f"]({PAGES[link[1]]}", markdown)


def move_links(text: str) -> str:
    """Returns the text of a page from the top of the repository with links as on the site."""
    text = re.sub(r"\]\(docs/", "](", text)
    for name, page in PAGES.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text


def describe_commands() -> str:
    """Returns the reference of the command line, with one section per command."""
    command = (sys.executable, "-m", "typer", "dfi_jax.cli.main", "utils", "docs", "--name", "dfi")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    text = done.stdout.replace("# `dfi`\n", "# The command line\n", 1)
    # Typer shortens the sentences in its lists of commands. Each section begins with the whole one.
    for path, sentence in re.findall(r"^#+ `dfi (.+)`\n\n((?:.+\n)+)", text, re.MULTILINE):
        name, whole = path.split()[-1], " ".join(sentence.split())
        text = re.sub(
            rf"^(\* `{name}`: ){re.escape(whole[:20])}.*\.\.\.$",
            rf"\1{whole}",
            text,
            flags=re.MULTILINE,
        )
    return text
