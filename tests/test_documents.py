"""The documents are true to the code: their links lead somewhere, and their commands, options and names exist."""

import re
import shlex
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from docs.block_diagram import block_diagram
from resnetx.cli.app import app
from resnetx.cli.study import STUDIES
from resnetx.model.config import ResNetConfig
from resnetx.model.network import Bottleneck
from resnetx.runtime.catalog import CATALOG, engine_of
from resnetx.runtime.fixes import Situation, fixes_for
from resnetx.runtime.installed_runtimes import Wheel
from resnetx.runtime.ort.providers import ExecutionProvider, Setting

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
MOST_LINES = 220
MOST_PICTURE_BYTES = 150_000
documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def prose(document: Path) -> str:
    """Without the fenced blocks, in which nothing is a link or a heading."""
    return re.sub(r"^( *)```.*?^\1```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)


def links(document: Path) -> set[str]:
    text = prose(document)
    inline = re.findall(r"\]\(([^)\s]+)\)", text)
    named = re.findall(r"^\[[^]]+\]: (\S+)$", text, flags=re.MULTILINE)
    pictures = re.findall(r'<img src="([^"]+)"', text)
    return {*inline, *named, *pictures}


def anchors(document: Path) -> set[str]:
    """The names of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@documents
def test_every_relative_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    dead = []
    for link in sorted(links(document)):
        path, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            assert link.startswith("https://"), link
            continue
        target = (document.parent / path).resolve() if path else document
        if not (target.exists() and target.is_relative_to(ROOT)) or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_dead_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A `b` c\n[x](b.md#no) [y][z] [u](#a-b-c)\n\n[z]: c.md\n\n```\n[no](d.md)\n```\n")
    assert links(tmp_path / "a.md") == {"b.md#no", "c.md", "#a-b-c"}
    assert anchors(tmp_path / "a.md") == {"a-b-c"}


def test_the_readme_is_short_and_its_pictures_are_small() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MOST_LINES
    pictures = list((ROOT / "docs" / "pictures").iterdir())
    studies = {f"study-{name}.png" for name in STUDIES}
    assert {path.name for path in pictures} == {"layers.svg", "report.png", "blocks.svg", *studies}
    assert all(path.stat().st_size < MOST_PICTURE_BYTES for path in pictures)
    for drawing in (path.read_text() for path in pictures if path.suffix == ".svg"):
        assert set(re.findall(r"https?://[^\"')\s]+", drawing)) <= {"http://www.w3.org/2000/svg"}


def test_the_diagram_of_the_blocks_is_that_of_its_script_and_names_the_layers_of_the_network() -> None:
    drawn = (ROOT / "docs" / "pictures" / "blocks.svg").read_text(encoding="utf-8")
    assert drawn == block_diagram()
    words = {text.text for text in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}
    block = Bottleneck(8, 4, 2, ResNetConfig())
    assert {name for name, _ in block.named_modules() if name not in ("", "downsample")} <= words


@documents
def test_lines_are_short(document: Path) -> None:
    text = [line for line in document.read_text().splitlines() if not line.startswith(("|", "["))]
    assert [line for line in text if len(line) > 125] == []


def commands(document: Path) -> Iterator[list[str]]:
    """The command lines of resnetx: in blocks, in tables and in sentences, without comments."""
    text = document.read_text().replace("\\\n", " ")
    for line in re.findall(r"(?:^ {4,}|^\$ |`)(resnetx [a-z]+(?: [^`\n]*)?)", text, flags=re.MULTILINE):
        yield shlex.split(re.sub(r"\s#.*| && .*", "", line.replace("'", " ")).rstrip("`"))


@documents
def test_every_command_and_option_exists(document: Path) -> None:
    group = typer.main.get_command(app)
    members = dict(group.commands)  # type: ignore[attr-defined]
    studies = members["study"].commands
    members |= {f"study {name}": command for name, command in studies.items()}
    known = {
        name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for name, command in members.items()
    }
    unknown = []
    for _, name, *rest in commands(document):
        if name == "study" and rest and not rest[0].startswith("-"):
            name = f"study {rest.pop(0)}"
        options = {word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"}
        unknown += [(name, option) for option in options - known.get(name, set()) - {"--help", "-h"}]
        unknown += [] if name in known else [(name, "")]
    assert unknown == []


def test_the_commands_are_all_described() -> None:
    names = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    table = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), flags=re.MULTILINE))
    assert table == names
    shown = {name for document in DOCUMENTS for _, name, *_ in commands(document)}
    assert names <= shown


def test_every_provider_is_described() -> None:
    table = re.findall(
        r"^\| `([\w-]+)`[^|]*\| [^|]+\| [^|]*\|$", (ROOT / "docs/providers.md").read_text(), flags=re.MULTILINE
    )
    assert {row.name for row in CATALOG} | {"auto"} <= set(table)


def test_every_schema_is_described_with_its_version() -> None:
    """A format that changed is described as it is now."""
    declared = {
        schema
        for path in (ROOT / "resnetx").rglob("*.py")
        for schema in re.findall(r'^(?:\w+_)?SCHEMA.*"(resnetx\.\w+/\d+)"', path.read_text(), flags=re.MULTILINE)
    }
    described = set(re.findall(r"`(resnetx\.\w+/\d+)`", (ROOT / "docs/formats.md").read_text()))
    assert len(declared) > 10 and described == declared


def test_a_provider_is_added_as_described() -> None:
    """The row in CONTRIBUTING.md is one, and doctor and the engine know what to do with it."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (block,) = re.findall(r"```python\n(\s*ExecutionProvider\(.*?)```", text, flags=re.DOTALL)
    row = eval(block.strip().rstrip(","), {"ExecutionProvider": ExecutionProvider, "Setting": Setting})
    assert row.name not in {each.name for each in CATALOG}
    assert row.native in engine_of(row).why_not()
    at = Situation(
        wheels=(Wheel(name="onnxruntime-gpu", version="1"),),
        imports=True,
        versions={},
        vendor="Intel",
        architecture="x86_64",
        nvidia=False,
        driver=False,
    )
    assert fixes_for(row, "", [], at)


@documents
def test_files_that_are_named_exist(document: Path) -> None:
    """Paths of the repository in code type: `resnetx/runtime/catalog.py`, `tests/test_architecture.py`."""
    named = re.findall(r"`((?:resnetx|tests|benchmarks|docs|examples)/[\w./-]*)`", prose(document))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_targets_of_make_that_are_named_exist() -> None:
    (targets,) = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = {name for document in DOCUMENTS for name in re.findall(r"`make ([a-z]+)`", document.read_text())}
    assert named <= set(targets.split()) and {"check", "demo", "pictures"} <= named
