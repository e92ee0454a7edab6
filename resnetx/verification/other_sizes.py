"""The reference of a network that takes inputs of any size: at one size in full, and at another for its outputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from resnetx.errors import UsageError
from resnetx.inputs.random_feeds import FREE_SIZE, other_sizes
from resnetx.inputs.sampling import Sampling
from resnetx.runtime.runner import TensorInfo
from resnetx.verification.references import Truth

# Of the other size: a fault that depends on the size shows in any sample.
SAMPLES = 3
BATCH = 2
Sizes = Mapping[str, int]


def free_sizes(inputs: Sequence[TensorInfo]) -> dict[str, int]:
    """A size for each free dimension apart from the batch, by its name."""
    batches = {info.shape[0] for info in inputs if info.shape}
    return {dim: FREE_SIZE for info in inputs for dim in info.shape if isinstance(dim, str) and dim not in batches}


def truth_at_sizes(
    truth_at: Callable[[Sampling, Sizes], Truth], sampling: Sampling, sizes: Sizes, *, required: bool
) -> Truth:
    """The truth at these sizes of free dimensions and, if there are any, at others that the network takes.

    Where it takes none, that is an error only if they are `required`: a file may declare more than its network can do.
    """
    truth, problem = truth_at(sampling, sizes), None
    few = replace(sampling, sizes=sampling.sizes if len(set(sampling.sizes)) == 1 else (BATCH,), samples=SAMPLES)
    for others in other_sizes(sizes) if sizes else ():
        words = ", ".join(f"{name} {size}" for name, size in others.items())
        try:
            return replace(truth, other_sizes=((words, truth_at(few, others)),))
        except Exception as error:  # the network may raise anything
            problem = problem or (words, error)
    if required and problem is not None:
        from resnetx.graph.exporter_error import explain

        words, cause = problem
        raise UsageError(
            f"The sizes {', '.join(sizes)} should be free, but the module does not run at {words}: {explain(cause)}. "
            "Leave them out of dynamic_shapes."
        ) from cause
    return truth
