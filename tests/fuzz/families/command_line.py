"""Options of any value, and targets that are devices, pipes, links, folders or inputs."""

import os

from tests.fuzz.case import HOSTILE_TEXTS, Family, Setting

VALUES = (
    *(
        "",
        "0",
        "-1",
        "1",
        "3",
        "1e999",
        "nan",
        "-inf",
        "0x10",
        "1.5",
        "9" * 30,
        "9" * 5000,
        "1,2,3",
        "0,0",
        ",",
        "1,,2",
        "٣",
    ),
    *(
        "dynamic",
        "cpu",
        "auto",
        "cpu,cpu",
        "nothing",
        "cuda",
        "a=b",
        "=",
        "K=V",
        "cpu:K=V",
        "5%",
        "-5%",
        "nan%",
        "50,99.9",
    ),
    *("/dev/null", ".", "/", "nothing/x", "x\udcff", *HOSTILE_TEXTS[:5]),
)
OPTIONS = {
    "export": (
        *(
            "-o",
            "--weights",
            "--depth",
            "--stages",
            "--width",
            "--block",
            "--variant",
            "--textbook-last-filters",
            "--classes",
        ),
        *(
            "--labels",
            "--image-size",
            "--batch",
            "--opset",
            "--exporter",
            "--precision",
            "--preprocess",
            "--output",
            "--seed",
        ),
        *("--golden", "--json"),
    ),
    "verify": (
        *(
            "--weights",
            "--golden",
            "--reference",
            "--provider",
            "--provider-option",
            "--batch",
            "--samples",
            "--images",
        ),
        *("--seed", "--atol", "--rtol", "--precision", "--timeout", "--memory-mb", "--json", "--junit", "--html"),
    ),
    "bench": (
        *("--provider", "--batch", "--threads", "--duration", "--rounds", "--warmup", "--concurrency", "--scenario"),
        *("--target-qps", "--latency-bound", "--percentile", "--boundary", "--provider-option", "--against"),
        *("--max-slowdown", "--timeout", "--precision", "--processes", "--memory-mb", "--json", "--html"),
        *("--golden", "--reference"),
    ),
    "profile": (
        *("--provider", "--batch", "--threads", "--precision", "--provider-option", "--duration", "--top"),
        *("--timeout", "--memory-mb", "--json", "--html"),
    ),
    "compare": ("--max-slowdown", "--json", "--markdown", "--html"),
    "simplify": ("-o", "--timeout", "--json"),
    "convert": ("-o", "--precision", "--exclude", "--images", "--timeout", "--memory-mb", "--json"),
    "quantize": (
        *("-o", "--calibrate", "--target", "--method", "--samples", "--exclude", "--evaluate", "--max-drop"),
        *("--timeout", "--memory-mb", "--json"),
    ),
    "tune": (
        *("-o", "--objective", "--batch", "--provider", "--threads", "--latency-bound", "--calibrate", "--evaluate"),
        *("--max-drop", "--duration", "--timeout", "--memory-mb", "--json"),
    ),
    "inspect": ("--input-shape", "--json"),
    "doctor": ("--provider", "--json"),
    "study gradients": ("--depths", "--steps", "--seed", "-o", "--json"),
    "study depth": ("--depths", "--steps", "--seed", "-o", "--json"),
    "study identity": ("--error", "--steps", "--seeds", "--seed", "-o", "--json"),
    "study transfer": ("--samples", "--steps", "--seeds", "--seed", "-o", "--json"),
}


WRITTEN = ("-o", "--json", "--junit", "--html", "--markdown")


def options(setting: Setting) -> list[str]:
    """One or two options of any value; what would then take minutes is kept from running by an input that is none."""
    rng = setting.rng
    command = rng.choice(sorted(OPTIONS))
    chosen = rng.sample(OPTIONS[command], min(len(OPTIONS[command]), rng.choice([1, 1, 2])))
    given = []
    for option in chosen:
        value = rng.choice(VALUES).replace("\x00", "?")
        written = option in WRITTEN or (command, option) == ("export", "--golden")
        given += [option, f"out/{value}" if written and not value.startswith(("/", ".")) and value else value]
    none = str(setting.write("none.onnx", b"\x08\x08"))
    match command:
        case "export":
            tiny = ["--stages", "1", "--width", "1", "--image-size", "32"]
            return ["export", *tiny, "--weights", none, "-o", "out/m.onnx", *given]
        case "verify":
            return ["verify", rng.choice([none, str(setting.corpus.model)]), *given]
        case "bench":
            return ["bench", none, *given]
        case "profile":
            return ["profile", none, *given]
        case "compare":
            return ["compare", str(setting.corpus.result), str(setting.corpus.result), *given]
        case "simplify":
            return ["simplify", none, "-o", "out/s.onnx", *given]
        case "convert":
            return ["convert", none, "-o", "out/h.onnx", *given]
        case "quantize":
            return ["quantize", none, "-o", "out/q.onnx", *given]
        case "tune":
            return ["tune", none, "-o", "out/d", *given]
        case "inspect":
            return ["inspect", str(setting.corpus.model), *given]
        # What makes no study, behind whatever was given.
        case "study gradients" | "study depth":
            return [*command.split(), *given, "--depths", "0"]
        case "study identity" | "study transfer":
            return [*command.split(), *given, "--seeds", "0"]
    return ["doctor", "--provider", rng.choice(["nothing", "\x1b[2J", "x" * 10_000]), *given[:0]]


def words(setting: Setting) -> list[str]:
    """Arguments at random."""
    rng = setting.rng
    pool = (*OPTIONS, "--help", "--version", "-h", "-o", "--", "-", "--json", *VALUES, *HOSTILE_TEXTS)
    chosen = [rng.choice(pool).replace("\x00", "?") for _ in range(rng.choice([1, 2, 3, 5]))]
    # A benchmark or an export of the default network is no hostile input.
    return ["inspect", *chosen] if chosen[0] in ("export", "doctor") else chosen


def targets(setting: Setting) -> list[str]:
    """A comparison, which takes no time, written to strange places."""
    rng = setting.rng
    out = setting.out
    (out / "link").symlink_to("real")
    (out / "null").symlink_to("/dev/null")
    (out / "circle").symlink_to("circle")
    (out / "full").symlink_to("/dev/full")
    (out / "folder").mkdir()
    old, new = setting.write("old.json", setting.corpus.result.read_bytes()), setting.write("new.json", b"")
    new.write_bytes(old.read_bytes())
    os.link(new, out / "hard")
    (out / "soft").symlink_to("../new.json")
    os.mkfifo(out / "pipe")
    places = (
        *(
            "/dev/null",
            "/dev/full",
            "/dev/stdout",
            "/dev/fd/1",
            "/dev/fd/9",
            "/proc/self/fd/1",
            "/dev/tty",
        ),
        *("out/link", "out/null", "out/circle", "out/full", "out/folder", "out/hard", "out/soft", "out/pipe", "out/r"),
        *("old.json", "./new.json", "out/../old.json", "out/no/r", "/proc/version", "out/" + "x" * 300, "out/r\x1b[2J"),
        *("-", "out/R", "out/./r", "out/\udcff", "/", ".", "..", "out/new.json/x", "out/" + "ü" * 120),
    )
    setting.stdout = rng.choice([None, None, "/dev/null", "/dev/full"])
    chosen = [part for option in ("--json", "--markdown") for part in (option, rng.choice(places)) if rng.random() < 2]
    return ["compare", str(old), str(new), *chosen]


def inputs(setting: Setting) -> list[str]:
    """What is no regular file, given as any input."""
    rng = setting.rng
    os.mkfifo(setting.folder / "pipe")
    (setting.folder / "circle").symlink_to("circle")
    places = (
        "/dev/zero",
        "/dev/urandom",
        "/dev/null",
        "/dev/stdin",
        "pipe",
        "circle",
        ".",
        "/",
        "nothing",
        "/proc/self/mem",
        "a\udcff",
    )
    strange = rng.choice([*places, "x" * 5000, "/dev/tty"])
    model, result = str(setting.corpus.model), str(setting.corpus.result)
    tiny = ["--stages", "1", "--width", "1", "--classes", "2", "--image-size", "32", "-o", "out/m.onnx"]
    commands = (
        ["inspect", strange],
        ["verify", strange],
        ["simplify", strange, "-o", "out/s.onnx"],
        ["convert", strange, "-o", "out/h.onnx"],
        ["convert", model, "-o", "out/h.onnx", "--images", strange],
        ["quantize", strange, "-o", "out/q.onnx", "--calibrate", "synthetic"],
        ["quantize", model, "-o", "out/q.onnx", "--calibrate", strange],
        ["quantize", model, "-o", "out/q.onnx", "--calibrate", "synthetic", "--samples", "4", "--evaluate", strange],
        ["tune", strange, "-o", "out/d"],
        ["tune", model, "-o", "out/d", "--calibrate", strange],
        ["bench", strange],
        ["profile", strange],
        ["verify", model, "--golden", strange],
        ["verify", model, "--reference", strange],
        ["verify", model, "--weights", strange],
        ["verify", model, "--images", strange],
        ["compare", strange, result],
        ["compare", result, strange],
        ["bench", model, "--against", strange],
        ["export", *tiny, "--labels", strange],
        ["export", *tiny[6:], "--weights", strange],
    )
    return rng.choice(commands)


FAMILIES = {
    "options": Family(build=options, share=12),
    "words": Family(build=words, share=10),
    "targets": Family(build=targets, share=10),
    "inputs": Family(build=inputs, share=3),
    "real options": Family(build=options, share=0.25, real=True),
    "real targets": Family(build=targets, share=0.25, real=True),
}
