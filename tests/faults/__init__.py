"""The corpus of seeded faults: files that load and run, pass for a healthy network's, and compute something else."""

from tests.faults.base import Base, Fault, Needs, Reference, reference, reference_model
from tests.faults.boundary import BATCHES, HEADS, INPUTS, PIXELS, PROBABILITIES
from tests.faults.norms import NORMS
from tests.faults.parameters import CHANNELS, PRECISION, WEIGHTS
from tests.faults.structure import ACTIVATIONS, SHORTCUTS, STRIDES, WINDOWS

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
