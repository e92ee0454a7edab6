"""The corpus of seeded faults: files that load and run, pass for a healthy network's, and compute something else."""

from tests.verification.faults.base import Base, Fault, Needs, Reference, reference, reference_model
from tests.verification.faults.boundary import BATCHES, HEADS, INPUTS, PIXELS, PROBABILITIES
from tests.verification.faults.norms import NORMS
from tests.verification.faults.parameters import CHANNELS, PRECISION, WEIGHTS
from tests.verification.faults.structure import ACTIVATIONS, SHORTCUTS, STRIDES, WINDOWS

__all__ = ["FAULTS", "Base", "Fault", "Needs", "Reference", "reference", "reference_model"]

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
