"""The errors of correct exports in multiples of PyTorch's own, beside the bound of `resnetx verify`.

    python benchmarks/parity_noise.py [--seeds 3] [--json FILE]

Every depth, variant and working provider, several seeds, full width, each verified on its default inputs: outputs and
inner tensors of the file in float64 beside the network's, and those of each provider. It prints the distribution of the
multiples and the bound, which must be above the error of every correct export and below that of every fault that can be
distinguished from rounding (the tests of the fault corpus print those).
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import resnetx
from resnetx.model.config import DEPTHS, resnet_config
from resnetx.runtime.catalog import CATALOG, engine_of
from resnetx.verification.parity import MAX_MULTIPLE
from resnetx.verification.verify import VerifyOptions, verify_file

VARIANTS = ("v1.5", "v1", "textbook", "plain")


def multiples(depth: int, variant: str, seed: int, providers: tuple[str, ...], path: Path) -> dict[str, list[float]]:
    plain = variant == "plain"
    config = resnet_config(depth, variant=None if plain else variant, plain=plain)  # type: ignore[arg-type]
    resnetx.export(config, path, seed=seed, opset=18, exporter="torchscript", verify=False, image_size=128)
    result = verify_file(path, VerifyOptions(providers=providers, seed=seed))
    found = {
        verdict.provider: [check.multiple for check in verdict.parity.checks if check.multiple is not None]
        for verdict in result.verdicts
    }
    found |= {f"{each.provider}, layers": [layer.multiple for layer in each.layers] for each in result.verdicts}
    own = result.file
    if own is not None and own.parity is not None:
        found["file"] = [check.multiple for check in own.parity.checks if check.multiple is not None]
        found["file, layers"] = [layer.multiple for layer in own.layers]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    providers = tuple(row.name for row in CATALOG if not row.needs_card and engine_of(row).why_not() is None)
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for depth in DEPTHS:
            for variant in VARIANTS:
                if variant == "textbook" and depth < 50:
                    continue
                for seed in range(options.seeds):
                    found = multiples(depth, variant, seed, providers, Path(folder) / "m.onnx")
                    for provider, values in found.items():
                        rows.setdefault(f"{provider}: {depth} {variant}", []).extend(values)
    everything: dict[str, list[float]] = {}
    for name, values in rows.items():
        everything.setdefault(f"{name.partition(':')[0]}: all", []).extend(values)
    print(f"{'what, depth, variant':32}{'n':>5}{'median':>9}{'p99':>9}{'max':>9}")
    for name, values in [*rows.items(), *everything.items()]:
        print(f"{name:32}{len(values):5}{np.median(values):9.2f}{np.percentile(values, 99):9.2f}{max(values):9.2f}")
    largest = max(map(max, everything.values()))
    print(f"bound {MAX_MULTIPLE:g}: {MAX_MULTIPLE / largest:.1f} times the largest correct export's")
    if options.json:
        options.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
