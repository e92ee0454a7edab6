"""Recognises a ResNet from the names and shapes of its tensors: naming, block, stages, width and classes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from resnetx.errors import CheckpointError
from resnetx.model.config import Block
from resnetx.model.layer_names import CLASSIFIER, RULES, Layer, Naming, parse_layer, spell_layer
from resnetx.weights.other_architectures import (
    BUILDS,
    Shape,
    refuse_foreign_names,
    refuse_foreign_shapes,
    unknown_names,
)
from resnetx.weights.untrusted import MAX_ENTRIES, clip, listed

STEM = Layer("conv")
# Prefixes that torch.compile, DataParallel, Lightning and averaging add to every name, in any order.
PREFIXES = ("module.", "model.", "_orig_mod.")
# Counters that inference does not need.
COUNTERS = ("num_batches_tracked", "n_averaged")
PARAMETERS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, kw_only=True)
class Structure:
    """The network that a checkpoint belongs to; `unexpected` are the names that its naming does not define."""

    naming: Naming
    block: Block
    stages: tuple[int, ...]
    width: int
    classes: int
    shapes: dict[Layer, Shape]
    places: dict[str, tuple[Layer, str]]
    unexpected: tuple[str, ...]


def strip_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes of wrappers and the counters."""
    kept = {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[2] not in COUNTERS}
    if len(kept) > MAX_ENTRIES:
        raise CheckpointError(f"it contains {len(kept)} tensors; no ResNet has more than {MAX_ENTRIES}.")
    while kept:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in kept)), None)
        if prefix is None:
            return kept
        kept = {name.removeprefix(prefix): tensor for name, tensor in kept.items()}
    raise CheckpointError("it contains no weights; give a file with a trained or initialized network.")


def recognise(tensors: Mapping[str, Tensor]) -> Structure:
    """The structure of the network from the (stripped) names; the error names another architecture, if known."""
    refuse_foreign_names(tensors)
    naming, places = _naming(tensors)
    shapes = {place: tuple(tensors[name].shape) for name, (place, what) in places.items() if what == "weight"}
    names = {place: name for name, (place, what) in places.items() if what == "weight"}
    refuse_foreign_shapes(names, shapes, naming)
    if not any(what == "running_mean" for _, what in places.values()):
        raise CheckpointError(
            f"it has no BatchNorm statistics (running_mean, running_var): its norms are folded or of another "
            f"kind (GroupNorm, LayerNorm); {BUILDS}."
        )
    bottleneck = any(place.k == 3 for place in shapes)
    return Structure(
        naming=naming,
        block="bottleneck" if bottleneck else "basic",
        stages=_stages(shapes, naming),
        width=_outputs(shapes, STEM, naming),
        classes=_outputs(shapes, CLASSIFIER, naming),
        shapes=shapes,
        places=places,
        unexpected=tuple(name for name in tensors if name not in places),
    )


def _naming(tensors: Mapping[str, Tensor]) -> tuple[Naming, dict[str, tuple[Layer, str]]]:
    """The naming that defines most of the names, and each name's place in it."""
    known = {naming: _places(tensors, naming) for naming in RULES}
    best = max(known, key=lambda naming: len(known[naming]))
    if not any(place.stage >= 0 for place, _ in known[best].values()):
        raise unknown_names(tensors)
    return best, known[best]


def _places(tensors: Mapping[str, Tensor], naming: Naming) -> dict[str, tuple[Layer, str]]:
    places: dict[str, tuple[Layer, str]] = {}
    stem = RULES[naming].stem.values()
    for name in tensors:
        layer_name, _, parameter = name.rpartition(".")
        place = parse_layer(layer_name, naming) if len(name) < 200 else None
        # The patterns also match stage and block numbers that no network has, such as `layer0.0.conv1`.
        known = place is not None and (place.block >= 0 <= place.stage or layer_name in stem or place == CLASSIFIER)
        if place is not None and known and parameter in PARAMETERS:
            places[name] = (place, parameter)
    times = Counter(places.values())
    if len(times) < len(places):
        twice = [name for name, place in places.items() if times[place] > 1]
        raise CheckpointError(f"it contains the same tensor under two names: {listed(twice)}.")
    return places


def _stages(shapes: Mapping[Layer, Shape], naming: Naming) -> tuple[int, ...]:
    """Blocks per stage. Missing blocks are reported later, by the comparison with the whole network."""
    blocks: dict[int, int] = {}
    for place in shapes:
        if place.stage >= 0 and place.kind == "conv":
            blocks[place.stage] = max(blocks.get(place.stage, 0), place.block + 1)
    if max(blocks, default=0) > 7 or max(blocks.values(), default=0) > 200:
        raise CheckpointError(
            f"it has {max(blocks) + 1} stages of up to {max(blocks.values())} blocks; the limits are 8 and 200."
        )
    for stage in range(max(blocks, default=0) + 1):
        if stage not in blocks:
            example = spell_layer(replace(STEM, stage=stage), naming, [1] * 8)
            raise CheckpointError(f"a whole stage is missing: there is no {example} and no other layer of it.")
    return tuple(blocks[stage] for stage in sorted(blocks))


def _outputs(shapes: Mapping[Layer, Shape], place: Layer, naming: Naming) -> int:
    """The first dimension of the stem or the classifier."""
    name = spell_layer(place, naming, [1])
    shape = shapes.get(place)
    if shape is None:
        what = "classifier (a backbone without a head?)" if place == CLASSIFIER else "stem"
        raise CheckpointError(f"it has no {what}: {clip(name)}.weight is missing.")
    if len(shape) != (2 if place == CLASSIFIER else 4) or not shape[0]:
        raise CheckpointError(f"{clip(name)}.weight has shape {shape}, which is not possible in a ResNet.")
    return shape[0]
