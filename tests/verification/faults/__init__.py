"""The corpus of seeded faults: files that load and run, pass for a healthy network's, and compute something else."""

from tests.verification.faults.base import Fault, Reference, reference, reference_model
from tests.verification.faults.batches import BATCH_SIZES
from tests.verification.faults.boundary import BATCHES, HEADS, INPUTS, PIXELS, PROBABILITIES
from tests.verification.faults.classes import ONE_OF_MANY
from tests.verification.faults.dead_paths import DEAD_PATHS
from tests.verification.faults.disguises import DISGUISED
from tests.verification.faults.foreign import FOREIGN
from tests.verification.faults.half_precision import HALF_PRECISION
from tests.verification.faults.healthy import Base, Needs
from tests.verification.faults.integers import INTEGERS
from tests.verification.faults.norms import NORMS
from tests.verification.faults.parameters import CHANNELS, PRECISION, WEIGHTS
from tests.verification.faults.signals import SIGNALS
from tests.verification.faults.structure import ACTIVATIONS, SHORTCUTS, STRIDES, WINDOWS

__all__ = ["FAULTS", "HIDDEN", "Base", "Fault", "Needs", "Reference", "reference", "reference_model"]

FAULTS: tuple[Fault, ...] = (
    *STRIDES,
    *NORMS,
    *ACTIVATIONS,
    *CHANNELS,
    *WEIGHTS,
    *PRECISION,
    *WINDOWS,
    *SHORTCUTS,
    *HEADS,
    *BATCHES,
    *INPUTS,
    *PIXELS,
    *PROBABILITIES,
)

# What a few ordinary images in batches of one to three do not show, or what reduced precision once excused.
HIDDEN: dict[str, tuple[Fault, ...]] = {
    "dead paths": DEAD_PATHS,
    "disguises": DISGUISED,
    "fp16": HALF_PRECISION,
    "batches": BATCH_SIZES,
    "signals": SIGNALS,
    "one of many": ONE_OF_MANY,
    "int8": INTEGERS,
    "other families": FOREIGN,
}
