"""A file of another network is not replaced unawares, by whatever command; the same network's is, as before."""

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resnetx
from resnetx.cli.main import main
from resnetx.conversion.file_names import default_name
from resnetx.conversion.overwriting import require_target, whole_model
from resnetx.errors import UsageError
from resnetx.graph.card import ModelCard, Weights, read_card
from resnetx.model.config import ResNetConfig, resnet_config
from resnetx.tuning.folder import RESULT, search_folder
from tests.conftest import TINY_SIZE, random_network, tiny_config
from tests.support.onnx_models import small_classifier

TINY = ["--stages", "1,1", "--width", "8", "--image-size", "32"]


def run(monkeypatch: pytest.MonkeyPatch, line: str) -> int:
    monkeypatch.setattr(sys, "argv", ["resnetx", *line.split()])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def card_of(**changes: object) -> ModelCard:
    config = resnet_config(50)
    card = ModelCard(
        architecture=config.name, config=config, classes=1000, image_size=224, weights=Weights(sha256="0" * 64)
    )
    return replace(card, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "rest", "name"),
    [
        (resnet_config(18), {}, "resnet18.onnx"),
        (resnet_config(18, classes=10), {"image_size": 64}, "resnet18-10-64px-fp16.onnx"),
        (resnet_config(50, variant="textbook", classes=6), {}, "resnet50-textbook-6.onnx"),
        (resnet_config(18, variant="v1", plain=True), {}, "plainnet18-v1.onnx"),
        (resnet_config(18, width=8), {"input": "uint8", "output": "top5"}, "resnet18-w8-uint8-top5-batch4.onnx"),
        (resnet_config(50, variant="textbook", width=8), {"output": "logits"}, "resnet50-textbook-w8-logits.onnx"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_default_name_carries_what_differs(config: ResNetConfig, rest: dict[str, object], name: str) -> None:
    output = "probabilities" if config.variant == "textbook" else "logits"
    card = card_of(**{"config": config, "image_size": config.image_size, "output": output, **rest})
    precision, batch = ("fp16" if "fp16" in name else "fp32"), (4 if "batch4" in name else None)
    assert default_name(card, precision=precision, batch=batch) == name


def test_an_export_without_a_name_is_named_by_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for classes in (5, 6):
        line = f"export --stages 1,1 --width 8 --image-size 32 --no-verify --precision fp16 --classes {classes}"
        assert run(monkeypatch, line) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"resnet8-w8-{classes}-32px-fp16.onnx" for classes in (5, 6)
    ]


@given(
    *[
        st.tuples(
            st.sampled_from(("v1.5", "v1", "textbook")),
            st.sampled_from((6, 1000)),
            st.sampled_from((64, 224)),
            st.sampled_from(("none", "uint8")),
            st.sampled_from(("logits", "probabilities", "top5")),
            st.sampled_from((None, 1, 8)),
            st.sampled_from(("fp32", "fp16")),
        )
    ]
    * 2
)
def test_files_that_differ_have_names_that_differ(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    def name(variant: str, classes: int, size: int, form: str, output: str, batch: int | None, precision: str) -> str:
        config = resnet_config(50, variant=variant, classes=classes)  # type: ignore[arg-type]
        card = card_of(config=config, classes=classes, image_size=size, input=form, output=output)
        return default_name(card, precision=precision, batch=batch)

    assert (name(*one) == name(*other)) == (one == other)  # type: ignore[arg-type]


def test_an_export_of_another_network_needs_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    export = " ".join(["export", *TINY, "--no-verify", "-o", "m.onnx"])
    assert run(monkeypatch, f"{export} --classes 5") == 0
    first = Path("m.onnx").read_bytes()
    assert run(monkeypatch, f"{export} --classes 6") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "with 5 classes" in said and "with 6 classes" in said and "--force" in said
    assert Path("m.onnx").read_bytes() == first
    # The same network again, from another seed and in another precision.
    assert run(monkeypatch, f"{export} --classes 5 --seed 1 --precision fp16") == 0
    second = Path("m.onnx").read_bytes()
    assert second != first
    assert run(monkeypatch, f"{export} --classes 6 --force") == 0
    card = read_card(onnx.load("m.onnx"))
    assert card is not None and card.classes == 6


def test_trained_weights_do_not_give_way_to_random_ones(tmp_path: Path) -> None:
    import torch

    for name, seed in (("a.pt", 1), ("b.pt", 2)):
        torch.save(random_network(tiny_config(), seed=seed).state_dict(), tmp_path / name)
    (tmp_path / "copy.pt").write_bytes((tmp_path / "a.pt").read_bytes())

    def export(weights: str | None) -> None:
        source = None if weights is None else tmp_path / weights
        model = None if weights else tiny_config()
        resnetx.export(model, tmp_path / "m.onnx", weights=source, image_size=TINY_SIZE, verify=False)

    export(None)
    export("a.pt")  # random weights are made again from their seed
    export("a.pt")
    export("copy.pt")  # the same weights
    for other in ("b.pt", None):
        with pytest.raises(UsageError, match=r"weights from .*copy\.pt"):
            export(other)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with in.onnx, and a file of another network."""
    folder = tmp_path_factory.mktemp("made")
    resnetx.export(tiny_config(), folder / "in.onnx", image_size=TINY_SIZE, verify=False)
    resnetx.export(tiny_config(classes=3), folder / "other.onnx", image_size=TINY_SIZE, verify=False)
    return folder


def no_model(path: Path) -> None:
    path.write_text("notes of a year")


def foreign(path: Path) -> None:
    path.write_bytes(small_classifier())


def other_card(path: Path) -> None:
    shutil.copy(path.with_name("other.onnx"), path)


def other_bundle(path: Path) -> None:
    model = path.with_name("other.onnx")
    resnetx.export(tiny_config(stages=(1,)), model, image_size=TINY_SIZE, golden=path)


def arrays(path: Path) -> None:
    np.savez(path, images=np.zeros(3))


@pytest.mark.parametrize("precious", [no_model, foreign, other_card], ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    "line",
    [
        "export --stages 1,1 --width 8 --image-size 32 --no-verify",
        "convert in.onnx",
        "quantize in.onnx --calibrate synthetic --samples 8 --target cpu",
        "simplify in.onnx",
    ],
    ids=lambda line: line.partition(" ")[0],
)
def test_no_command_replaces_what_it_does_not_know(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    precious: Callable[[Path], None],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    precious(tmp_path / "out.onnx")
    before = (tmp_path / "out.onnx").read_bytes()
    assert run(monkeypatch, f"{line} -o out.onnx") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "out.onnx exists, and it" in said and "--force" in said, said
    assert (tmp_path / "out.onnx").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("in.onnx", "other.onnx")) == [
        "out.onnx"
    ]


@pytest.mark.parametrize("line", ["convert in.onnx", "simplify in.onnx"], ids=lambda line: line.partition(" ")[0])
def test_a_file_of_the_source_s_network_is_replaced(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (tmp_path / "out.onnx").touch()  # nothing is lost with an empty file
    for _ in range(2):
        assert run(monkeypatch, f"{line} -o out.onnx") == 0
    foreign(tmp_path / "out.onnx")
    assert run(monkeypatch, f"{line} -o out.onnx --force") == 0


@pytest.mark.parametrize(
    "line",
    ["convert in.onnx", "quantize in.onnx --calibrate synthetic --samples 8 --target cpu", "simplify in.onnx"],
    ids=lambda line: line.partition(" ")[0],
)
def test_without_a_card_only_what_was_made_from_the_same_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    foreign(tmp_path / "in.onnx")
    for _ in range(2):
        assert run(monkeypatch, f"{line} -o out.onnx") == 0
    before = (tmp_path / "out.onnx").read_bytes()
    other = onnx.load("in.onnx")
    weight = onnx.numpy_helper.to_array(other.graph.initializer[0])
    other.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(1.5 * weight, other.graph.initializer[0].name))
    onnx.save(other, "in.onnx")
    capsys.readouterr()
    assert run(monkeypatch, f"{line} -o out.onnx") == 2
    assert "out.onnx exists, and it was made from another file" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "out.onnx").read_bytes() == before
    assert run(monkeypatch, f"{line} -o out.onnx --force") == 0
    # What is made of what was made counts as made from the first file.
    assert (
        run(monkeypatch, "convert out.onnx -o half.onnx" if "simplify" in line else "simplify out.onnx -o s.onnx") == 0
    )
    made = onnx.load("half.onnx" if "simplify" in line else "s.onnx")
    assert [entry.key for entry in made.metadata_props].count("resnetx.source") == 1


@pytest.mark.parametrize("precious", [other_bundle, arrays], ids=lambda make: make.__name__)
def test_a_bundle_of_another_network_is_kept(tmp_path: Path, precious: Callable[[Path], None]) -> None:
    golden = tmp_path / "g.npz"
    precious(golden)
    before = golden.read_bytes()
    with pytest.raises(UsageError, match=r"g\.npz exists, and it is"):
        resnetx.export(tiny_config(), tmp_path / "m.onnx", image_size=TINY_SIZE, golden=golden)
    assert golden.read_bytes() == before and not (tmp_path / "m.onnx").exists()
    for force in (True, False):
        resnetx.export(tiny_config(), tmp_path / "m.onnx", image_size=TINY_SIZE, golden=golden, force=force)


def test_what_appears_while_the_work_runs_is_kept(tmp_path: Path) -> None:
    target, card = tmp_path / "m.onnx", card_of()
    require_target(target, card, force=False)
    with pytest.raises(UsageError, match="exists"), whole_model(target, card, force=False) as temporary:
        temporary.write_bytes(b"new")
        target.write_text("put there meanwhile")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["put there meanwhile"]
    with whole_model(target, card, force=True) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("result", [json.dumps({"source": "SOURCE"}), json.dumps({"source": "other.onnx"}), "{"])
def test_a_search_for_another_file_keeps_its_folder(tmp_path: Path, result: str) -> None:
    source, folder = tmp_path / "m.onnx", tmp_path / "tuned"
    folder.mkdir()
    (folder / RESULT).write_text(result.replace("SOURCE", str(source)))
    refused = nullcontext() if "SOURCE" in result else pytest.raises(UsageError, match="--force")
    with refused, search_folder(folder, source):
        pass
    with search_folder(folder, source, force=True):
        pass


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_report_does_not_replace_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """As where --json is taken for a flag: bench --json a.onnx b.onnx."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.onnx", "b.onnx"):
        foreign(tmp_path / name)
    before = (tmp_path / "a.onnx").read_bytes()
    assert run(monkeypatch, f"bench {option} a.onnx b.onnx") == 2
    assert f"{option} a.onnx would replace a model" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "a.onnx").read_bytes() == before
