"""The largest magnitude of each input and inner tensor of a float graph on samples of every kind, in a child process.

python -m resnetx.conversion.tensor_ranges
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from resnetx.base.answers import error_answer, open_answers, read_request, send, teller
from resnetx.base.progress import OnProgress, Progress, ignore
from resnetx.base.validation import Number, Positive
from resnetx.graph.card import read_card
from resnetx.graph.layers import expose, layer_nodes
from resnetx.graph.node_names import uniquely_named
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.inputs.image_folder import read_images
from resnetx.inputs.sampling import Sampling
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.runner import Runner
from resnetx.verification.feeds import card_feeds, foreign_feeds


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """`largest` by tensor; `undefined` are the tensors that held NaN or infinity."""

    largest: dict[str, Number]
    undefined: list[str]
    samples: Positive

    @property
    def magnitudes(self) -> dict[str, float]:
        return self.largest | dict.fromkeys(self.undefined, float("inf"))


def tensor_ranges(path: Path, images: Path | None, *, progress: OnProgress = ignore) -> Ranges:
    """Run the graph on samples as loud as a float16 file is verified with, or on the images of a folder."""
    model = uniquely_named(read_onnx(path))
    exposed = expose(model, *(node.tensor for node in layer_nodes(model)))
    runner = open_runner(exposed.SerializeToString(), optimize=False)
    feeds = _feeds(runner, model, path, images)
    largest: dict[str, float] = {}
    undefined: dict[str, None] = {}
    for number, feed in enumerate(feeds):
        progress(Progress(text=f"sample {number + 1} of {len(feeds)}", share=number / len(feeds)))
        named = {info.name: each for info, each in zip(runner.inputs, feed, strict=True)}
        for name, array in (named | runner.run(named)).items():
            if array.dtype.kind != "f" or not array.size:
                continue
            finite = np.isfinite(array)
            if not finite.all():
                undefined[name] = None
            largest[name] = max(
                largest.get(name, 0.0), float(np.abs(array, where=finite, out=np.zeros_like(array)).max())
            )
    return Ranges(largest=largest, undefined=list(undefined), samples=len(feeds))


def _feeds(runner: Runner, model: onnx.ModelProto, path: Path, images: Path | None) -> list[list[np.ndarray]]:
    card = read_card(model)
    pixels = None if images is None else read_images(images, card, path)
    size = runner.inputs[0].shape[0] if runner.inputs and runner.inputs[0].shape else 1
    sampling = Sampling(sizes=(size if isinstance(size, int) else 1,), images=pixels)
    if card is not None and card.config is not None:
        return card_feeds(card, sampling, ["fp16"], dtype=runner.inputs[0].dtype)
    return foreign_feeds(runner.inputs, sampling, ["fp16"])


def main() -> None:
    answers = open_answers()
    try:
        request = read_request()
        images = None if request["images"] is None else Path(request["images"])
        found = tensor_ranges(Path(request["path"]), images, progress=teller(answers))
        send(answers, asdict(found))
    except Exception as error:  # the parent says what it means
        send(answers, error_answer(error))


if __name__ == "__main__":
    main()
