"""The provider table: names, options against the installed libraries, what is missing, and how many threads."""

import mmap
import struct
from pathlib import Path

import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetx.base.precisions import PRECISIONS, coarsest
from resnetx.errors import UsageError
from resnetx.machine import threads
from resnetx.runtime import catalog
from resnetx.runtime.catalog import (
    BY_NAME,
    CATALOG,
    best_provider,
    engine_of,
    find_provider,
    provider_names,
    scoped_options,
    working_providers,
)
from resnetx.runtime.convolution_probe import EXACT_IN
from resnetx.runtime.ort import nvidia_providers, openvino_plugin, tensorrt_cache
from resnetx.runtime.ort.device_session import GRAPH_SWITCHES
from resnetx.runtime.ort.providers import ExecutionProvider
from resnetx.runtime.ort.session_options import FIELDS, HIDDEN_KEYS, resolve_settings
from resnetx.runtime.ort.shared_libraries import missing_libraries, needed_libraries, runtime_folder

EXECUTION_PROVIDERS = [row for row in CATALOG if isinstance(row, ExecutionProvider)]


@pytest.mark.parametrize(
    ("given_name", "short"),
    [
        ("cpu", "cpu"),
        ("CPU", "cpu"),
        ("CPUExecutionProvider", "cpu"),
        ("cudaexecutionprovider", "cuda"),
        ("TensorrtExecutionProvider", "tensorrt"),
        ("OpenVINOExecutionProvider", "openvino-ep"),
        (" openvino ", "openvino"),
    ],
)
def test_short_and_long_names(given_name: str, short: str) -> None:
    assert find_provider(given_name).name == short


@pytest.mark.parametrize("name", ["", "gpu", "x" * 10_000, "\x1b[31mred", "cpu;rm", "ExecutionProvider", "💥"])
def test_another_name_is_refused_with_the_names_that_exist(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_provider(name)
    message = str(caught.value)
    assert "choose one of cpu, openvino-ep, openvino, cuda, cudnn, tensorrt, torch, torch-compile, or auto" in message
    assert "\x1b" not in message and len(message) < 250


def test_the_long_names_are_those_of_the_runtime() -> None:
    # Plugins, such as OpenVINO's, are not in this list.
    assert {row.native for row in EXECUTION_PROVIDERS} - {openvino_plugin.NATIVE} <= set(ort.get_all_providers())


def test_names_are_read_from_lists_and_options_go_to_the_provider_that_they_name() -> None:
    names = provider_names(["cpu,CUDAExecutionProvider", " Auto ", "torch-compile"])
    assert names == ["cpu", "cuda", "auto", "torch-compile"]
    options = {"a.b": "1", "cuda:device_id": "1", "CPUExecutionProvider:x": "2", "auto:y": "3"}
    assert scoped_options(options, names) == {
        "cpu": {"a.b": "1", "x": "2"},
        "cuda": {"a.b": "1", "device_id": "1"},
        "auto": {"a.b": "1", "y": "3"},
        "torch-compile": {"a.b": "1"},
    }
    for wrong, words in (
        ({"openvino:X": "1"}, "for openvino, which is not among the providers"),
        ({"cpu,openvino:X": "1"}, "for openvino, which is not among the providers"),
        ({"gpu:X": "1"}, "no provider 'gpu'"),
    ):
        with pytest.raises(UsageError, match=words):
            scoped_options(wrong, names)


def test_every_row_of_the_catalog_says_what_it_can_do() -> None:
    assert list(BY_NAME) == [row.name for row in CATALOG] and len(BY_NAME) == len(CATALOG)
    assert [row.name for row in CATALOG if row.baseline] == ["torch"]
    for row in CATALOG:
        assert row.engine in ("onnxruntime", "openvino", "cudnn", "pytorch")
        assert catalog.runs_on_gpu(row.name, {}) is row.gpu
        assert catalog.runs_on_gpu(row.name, {"device": "cuda"}) is (row.gpu or row.needs_card)
    assert not catalog.runs_on_gpu("of another version", {"device": "cuda"})


def holds(library: Path, text: str) -> bool:
    with library.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(text.encode() + b"\0") >= 0


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_option_names_stand_in_the_installed_provider(name: str) -> None:
    library = runtime_folder() / f"libonnxruntime_providers_{name}.so"
    if not library.exists():
        pytest.skip(f"this build of ONNX Runtime has no {name}")
    own = [setting.key for setting in BY_NAME[name].settings]
    passed = [*own, *(switch for switch in GRAPH_SWITCHES if switch.startswith("trt_") == (name == "tensorrt"))]
    if name == "tensorrt":
        passed += [
            tensorrt_cache.FOLDER,
            tensorrt_cache.TIMING_SWITCH,
            tensorrt_cache.TIMING_FOLDER,
            *tensorrt_cache.PROFILE,
        ]
    assert [key for key in passed if not holds(library, key)] == []
    assert not holds(library, "use_tf33")


def test_property_names_stand_in_the_installed_openvino() -> None:
    package = pytest.importorskip("onnxruntime_ep_openvino")
    libraries = list(Path(package.__file__).parent.glob("libopenvino*.so*"))
    row = BY_NAME["openvino-ep"]
    assert row.threads_key is not None
    for key in (row.threads_key, *(setting.key for setting in row.settings)):
        assert any(key.encode() in library.read_bytes() for library in libraries), key


def test_every_setting_is_explained_and_pinning_leaves_nothing_reduced() -> None:
    assert all(setting.why for row in EXECUTION_PROVIDERS for setting in row.settings)
    assert BY_NAME["cuda"].defaults("fp32")["use_tf32"] == "0"
    assert BY_NAME["cuda"].defaults("default")["use_tf32"] == "1"
    assert BY_NAME["openvino-ep"].defaults("fp32") == {"INFERENCE_PRECISION_HINT": "f32"}
    assert BY_NAME["openvino-ep"].defaults("default") == {}
    assert BY_NAME["tensorrt"].defaults("fp32")["trt_fp16_enable"] == "0"


def test_bf16_is_requested_where_a_provider_has_it_and_refused_elsewhere() -> None:
    assert BY_NAME["openvino-ep"].defaults("bf16") == {"INFERENCE_PRECISION_HINT": "bf16"}
    tensorrt = BY_NAME["tensorrt"].defaults("bf16")
    assert (tensorrt["trt_bf16_enable"], tensorrt["trt_fp16_enable"]) == ("1", "0")
    for name in ("cpu", "cuda"):
        with pytest.raises(UsageError, match=f"The provider {name} cannot compute in bf16; choose openvino"):
            resolve_settings(BY_NAME[name], precision="bf16", threads=None, options={})


def test_rules_for_the_precision_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(nvidia_providers.TF32_OVERRIDE, raising=False)
    cuda, tensorrt = BY_NAME["cuda"].precision, BY_NAME["tensorrt"].precision
    assert cuda is not None and tensorrt is not None
    assert (cuda({}), cuda({"use_tf32": "1"}), cuda({"use_tf32": "0"})) == ("tf32", "tf32", "fp32")
    assert tensorrt({"trt_fp16_enable": "1"}) == "fp16"
    assert tensorrt({"trt_fp16_enable": "True", "trt_bf16_enable": "1"}) == "bf16"
    assert tensorrt({"trt_fp16_enable": "0"}) == "tf32"
    monkeypatch.setenv(nvidia_providers.TF32_OVERRIDE, "0")
    assert tensorrt({}) == cuda({}) == "fp32"


def test_coarsest() -> None:
    assert coarsest("fp32", "tf32") == "tf32"
    assert coarsest("int8", "bf16", "fp32") == "int8"
    assert tuple(EXACT_IN) == PRECISIONS[:-1]


def test_the_measured_precision_is_told_by_which_numbers_stay_whole() -> None:
    def keeps(bits: int, largest: float, value: float) -> bool:
        """Whether a format of `bits` explicit fraction bits holds a number between a half power of two and itself."""
        return abs(value) <= largest and (value / 2 ** _exponent(value) * 2**bits).is_integer()

    formats = {"fp32": (23, 3e38), "tf32": (10, 3e38), "fp16": (10, 65504.0), "bf16": (7, 3e38)}
    for name, (bits, largest) in formats.items():
        first = next(each for each, value in EXACT_IN.items() if keeps(bits, largest, float(value)))
        assert first == name


def _exponent(value: float) -> int:
    return (struct.unpack("<Q", struct.pack("<d", value))[0] >> 52 & 0x7FF) - 1023


def test_the_cpu_always_works_and_auto_takes_the_first_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_of(BY_NAME["cpu"]).why_not() is None
    working = {"cuda", "openvino"}
    for engine in ("ort.engine.OnnxRuntime", "openvino.engine.OpenVINO"):
        monkeypatch.setattr(
            f"resnetx.runtime.{engine}.why_not", lambda self: None if self._provider.name in working else "broken"
        )
    preferred = True
    monkeypatch.setattr("resnetx.runtime.openvino.engine.OpenVINO.preferred", lambda self, precision: preferred)
    assert best_provider().name == "cuda"
    working.remove("cuda")
    assert best_provider().name == "openvino"
    preferred = False
    assert [row.name for row in working_providers()] == ["cpu", "openvino"]
    working.clear()
    assert best_provider().name == "cpu"


def test_openvino_says_which_part_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_plugin, "_device", lambda: None)
    monkeypatch.setattr(openvino_plugin, "_register", lambda: "the package onnxruntime-ep-openvino is not installed")
    assert openvino_plugin.openvino_problem() == "the package onnxruntime-ep-openvino is not installed"
    monkeypatch.setattr(openvino_plugin, "_register", lambda: None)
    problem = openvino_plugin.openvino_problem()
    assert problem is not None and "offers no CPU device" in problem and "Intel" in problem


def test_needed_libraries_are_read_from_the_file() -> None:
    library = runtime_folder() / "libonnxruntime_providers_cuda.so"
    if not library.exists():
        pytest.skip("this build of ONNX Runtime has no CUDA provider")
    needed = needed_libraries(library)
    assert "libcuda.so.1" in needed and "libc.so.6" in needed
    assert any(name.startswith("libcublas.so.") for name in needed)
    missing = missing_libraries(library, ("libno-such-thing.so.9",))
    assert "libno-such-thing.so.9" in missing and "libc.so.6" not in missing
    assert set(missing) <= {*needed, "libno-such-thing.so.9"}


@given(st.binary(max_size=400), st.booleans())
def test_a_damaged_library_needs_nothing(tmp_path_factory: pytest.TempPathFactory, data: bytes, elf: bool) -> None:
    path = tmp_path_factory.mktemp("elf") / "lib.so"
    path.write_bytes((b"\x7fELF\x02\x01" if elf else b"") + data)
    assert isinstance(needed_libraries(path), tuple)
    assert needed_libraries(path.with_name("absent")) == ()


def test_options_override_defaults_and_all_stand_in_force() -> None:
    row = BY_NAME["openvino-ep"]
    plain = resolve_settings(row, precision="fp32", threads=3, options={}).in_force()
    assert plain["INFERENCE_PRECISION_HINT"] == "f32"
    assert plain["INFERENCE_NUM_THREADS"] == plain["intra_op_num_threads"] == "3"
    assert set(FIELDS) <= set(plain)
    changed = resolve_settings(
        row,
        precision="fp32",
        threads=None,
        options={"INFERENCE_PRECISION_HINT": "bf16", "NUM_STREAMS": "2", "execution_mode": "Parallel"},
    ).in_force()
    assert (changed["INFERENCE_PRECISION_HINT"], changed["NUM_STREAMS"]) == ("bf16", "2")
    assert changed["execution_mode"] == "parallel"


def test_load_config_is_taken_apart() -> None:
    config = '{"CPU": {"NUM_STREAMS": 1, "ENABLE_CPU_PINNING": false, "PERFORMANCE_HINT": "LATENCY"}}'
    found = resolve_settings(
        BY_NAME["openvino-ep"], precision="default", threads=1, options={"load_config": config}
    ).native
    assert found == {
        "INFERENCE_NUM_THREADS": "1",
        "NUM_STREAMS": "1",
        "ENABLE_CPU_PINNING": "false",
        "PERFORMANCE_HINT": "LATENCY",
    }


@pytest.mark.parametrize(
    ("provider", "options"),
    [
        ("cpu", {"use_arena": "0"}),
        ("cpu", {"INFERENCE_PRECISION_HINT": "f32"}),
        ("cpu", {"session.no_such_key": "1"}),
        ("cpu", {"session.intra_op.allow_spinnin": "1"}),
        ("cpu", {"component.json": "1"}),  # a string of the library, and no key
        ("cpu", {"session.": "1"}),
        ("cpu", {"session.record_ep_graph_assignment_info": "0"}),
        ("cpu", {"graph_optimization_level": "best"}),
        ("cpu", {"enable_mem_pattern": "maybe"}),
        ("cpu", {"intra_op_num_threads": "0"}),
        ("cpu", {"intra_op_num_threads": "9" * 5000}),
        ("cpu", {"intra_op_num_threads": "000102499999999"}),
        ("cpu", {"intra_op_num_threads": "²"}),
        ("openvino-ep", {"precision": "FP32"}),
        ("openvino-ep", {"num_streams": "1"}),
        ("openvino-ep", {"load_config": "{nope"}),
        ("openvino-ep", {"load_config": "[]"}),
        ("openvino-ep", {"load_config": '{"GPU": {}}'}),
        ("openvino-ep", {"load_config": '{"NUM_STREAMS": "1"}'}),
        ("openvino-ep", {"load_config": "[" * 100_000}),
    ],
)
def test_what_a_runtime_would_silently_ignore_is_refused(provider: str, options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_settings(BY_NAME[provider], precision="fp32", threads=None, options=options)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "key",
    [
        "session.intra_op.allow_spinning",
        "session.dynamic_block_base",
        "session.disable_prepacking",
        "session.set_denormal_as_zero",
        "session.enable_quant_qdq_cleanup",
        "optimization.enable_gelu_approximation",
        *sorted(HIDDEN_KEYS),
    ],
)
def test_session_keys_that_exist_pass(key: str) -> None:
    settings = resolve_settings(BY_NAME["cpu"], precision="fp32", threads=None, options={key: "1"})
    assert settings.keys[key] == "1"


@pytest.mark.parametrize("count", [0, -1, 1025, 10**9])
def test_impossible_numbers_of_threads(count: int) -> None:
    with pytest.raises(UsageError, match="between 1 and 1024"):
        resolve_settings(BY_NAME["cpu"], precision="fp32", threads=count, options={})


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_quota_of_cgroup_v2_is_the_tightest_on_the_way_up(tmp_path: Path) -> None:
    membership = write(tmp_path / "cgroup", "0::/a/b\n")
    root = tmp_path / "fs"
    write(root / "cpu.max", "max 100000\n")
    assert threads.cpu_quota(membership, root) is None
    write(root / "a" / "b" / "cpu.max", "400000 100000\n")
    assert threads.cpu_quota(membership, root) == 4.0
    write(root / "a" / "cpu.max", "150000 100000\n")
    assert threads.cpu_quota(membership, root) == 1.5


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_quota_of_cgroup_v1(tmp_path: Path, mount: str) -> None:
    membership = write(tmp_path / "cgroup", "9:name=systemd:/\n4:cpu,cpuacct:/docker/abc\n3:cpuset:/\n")
    root = tmp_path / "fs"
    # In a container the path is the host's, and the limit stands in the mount's root.
    write(root / mount / "cpu.cfs_quota_us", "-1")
    write(root / mount / "cpu.cfs_period_us", "100000")
    assert threads.cpu_quota(membership, root) is None
    write(root / mount / "cpu.cfs_quota_us", "250000")
    assert threads.cpu_quota(membership, root) == 2.5


@given(st.text(max_size=60), st.text(max_size=20))
def test_quota_survives_anything(tmp_path_factory: pytest.TempPathFactory, lines: str, limit: str) -> None:
    folder = tmp_path_factory.mktemp("cgroup")
    membership = folder / "cgroup"
    membership.write_text(lines + "\n0::/../../x\n", errors="replace")
    (folder / "cpu.max").write_text(limit, errors="replace")
    quota = threads.cpu_quota(membership, folder)
    assert quota is None or quota > 0


def test_hyperthreads_count_once(tmp_path: Path) -> None:
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        write(tmp_path / f"cpu{cpu}" / "topology" / "thread_siblings_list", siblings)
    assert threads.physical_cores(frozenset({0, 1, 2, 3}), tmp_path) == 2
    assert threads.physical_cores(frozenset({0, 2}), tmp_path) == 1
    assert threads.physical_cores(frozenset({8, 9}), tmp_path) == 2  # a kernel that does not say


@pytest.mark.parametrize(
    ("cpus", "quota", "expected"), [(8, None, 8), (8, 2.5, 2), (8, 0.2, 1), (2, 16.0, 2), (500, None, 64)]
)
def test_default_threads(monkeypatch: pytest.MonkeyPatch, cpus: int, quota: float | None, expected: int) -> None:
    monkeypatch.setattr(threads, "allowed_cpus", lambda: frozenset(range(cpus)))
    monkeypatch.setattr(threads, "physical_cores", len)
    monkeypatch.setattr(threads, "cpu_quota", lambda: quota)
    assert threads.default_threads() == expected


@pytest.mark.parametrize(
    ("providers", "options", "precision", "pinned"),
    [
        (["cpu", "cuda"], {}, "fp32", True),
        (["tensorrt"], {}, "fp32", True),
        (["auto"], {}, "fp32", True),
        (["cuda"], {}, "default", False),
        (["cuda"], {"cuda:use_tf32": "1"}, "fp32", False),
        (["cpu", "openvino", "torch"], {}, "fp32", False),
        (["a row of another tool"], {}, "fp32", False),
    ],
)
def test_nothing_computes_in_tf32_where_float32_is_asked_for(
    providers: list[str], options: dict[str, str], precision: str, pinned: bool
) -> None:
    expected = {"NVIDIA_TF32_OVERRIDE": "0"} if pinned else {}
    assert catalog.pinned_environment(providers, options, precision) == expected


def test_float16_files_run_in_the_layout_of_tensor_cores() -> None:
    def chosen(stored: str, precision: str, **options: str) -> tuple[str, str]:
        found = resolve_settings(
            BY_NAME["cuda"],
            precision=precision,  # type: ignore[arg-type]
            threads=1,
            options=options,
            stored=stored,
        ).native
        return found["prefer_nhwc"], found["fuse_conv_bias"]

    assert chosen("fp16", "default") == chosen("fp16", "fp32") == chosen("fp32", "default") == ("1", "1")
    assert chosen("fp32", "fp32") == ("0", "0")
    # cuDNN fuses a bias in NHWC only.
    assert chosen("fp16", "default", prefer_nhwc="0") == ("0", "0")
    assert chosen("fp16", "default", prefer_nhwc="0", fuse_conv_bias="1") == ("0", "1")
