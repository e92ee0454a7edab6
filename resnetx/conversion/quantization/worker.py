"""Quantizes a file of unknown origin, in a child process: ranges, method, agreement, and the limit on the drop.

python -m resnetx.conversion.quantization.worker
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx

from resnetx.base.answers import error_answer, open_answers, read_request, send, teller
from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.base.validation import validated
from resnetx.base.vocabulary import AUTO
from resnetx.conversion.quantization.agreement import (
    Accuracy,
    Agreement,
    Scores,
    compare_scores,
    decibels,
    measured_accuracy,
    scores,
    sqnr_db,
)
from resnetx.conversion.quantization.messages import GateStep, Quantized, QuantizeOrder
from resnetx.conversion.quantization.prepare import prepared_model
from resnetx.conversion.quantization.ranges import METHODS, Method, RangeMeter, Ranges
from resnetx.conversion.quantization.single_layers import faster_shifted, interleaved_ms
from resnetx.graph.card import Quantization, embed_card, embed_source, read_card
from resnetx.graph.layers import check_structure, expose
from resnetx.graph.quantization.pixel_planes import with_pixels_in_planes
from resnetx.graph.quantization.presets import PRESETS, SHIFTED_FOR
from resnetx.graph.quantization.shifted_weights import with_shifted_weights
from resnetx.graph.quantization.static import float_tensors, quantizable, quantized
from resnetx.graph.simplification.simplify import serialize
from resnetx.inputs.calibration import read_calibration
from resnetx.inputs.labelled import LabelledImages
from resnetx.inputs.synthetic import card_inputs
from resnetx.machine.facts import read_processor
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.runner import Runner

# Of the samples that calibration did not see, as many decide between methods, and rank layers.
FEW, FEWEST = 32, 16
# With these, products of full 8-bit ranges do not overflow the sums: x86 without them adds pairs in 16 bits.
WIDE_SUMS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimd"}
ACTIVATIONS = ("Relu", "Clip")


class Quantizer:
    """One file, its calibration data, and the ranges of its tensors."""

    def __init__(self, order: QuantizeOrder, steps: Steps) -> None:
        self.order = order
        self.steps = steps
        self.preset = PRESETS[order.target]
        source = prepared_model(Path(order.path), order.exclude)
        self.model = with_pixels_in_planes(source) if self.preset.moves_transposes else source
        self.card = read_card(self.model)
        self.layers = quantizable(self.model.graph)
        instructions = set(read_processor().instruction_sets)
        self.reduced = not self.preset.signed and not WIDE_SUMS & instructions
        self.may_shift = self.preset.shifts and SHIFTED_FOR in instructions
        self.shifted: list[str] = []
        self.float_runner = open_runner(self.model.SerializeToString())
        (info,) = self.float_runner.inputs
        steps.begin("reading the calibration data")
        self.data = read_calibration(order.calibrate, info, self.card, samples=order.samples)
        self.unseen = [self.data.feed(self.data.unseen[place : place + 1]) for place in range(len(self.data.unseen))]
        self.labelled = None if order.evaluate is None else LabelledImages(Path(order.evaluate), self.card)

    @cached_property
    def float_scores(self) -> Scores:
        return scores(
            self.float_runner, self.unseen, self._counted("scores of the float network: sample", len(self.unseen))
        )

    def ranges(self, methods: Sequence[Method]) -> dict[Method, Ranges]:
        samples = self.data.calibration
        feeds = (self.data.feed(samples[place : place + 1]) for place in range(len(samples)))
        meter = RangeMeter(self.model, float_tensors(self.model), symmetric=self.preset.signed)
        self.steps.begin("ranges of the tensors")
        meter.watch(feeds, self._counted("sample", len(samples)))
        return {method: meter.ranges(method) for method in methods}

    def build(self, ranges: Ranges, exclude: Collection[str]) -> onnx.ModelProto:
        model = quantized(self.model, ranges, self.preset, exclude=exclude, reduce_range=self.reduced)
        return with_shifted_weights(model, self.shifted) if self.shifted else model

    def open(self, model: onnx.ModelProto) -> Runner:
        return open_runner(model.SerializeToString(), provider=self.order.provider, precision="default")

    def closeness(self, model: onnx.ModelProto, samples: int) -> float | None:
        """The signal to error at the scores, on a few samples; None without any error."""
        with closing(self.open(model)) as runner:
            found = scores(runner, self.unseen[:samples])
        return sqnr_db(self.float_scores.numbers[:samples], found.numbers)

    def measured(self, model: onnx.ModelProto) -> tuple[Agreement, Accuracy | None, float, float]:
        """The agreement, the accuracy on labelled images, and the median times of the float and the INT8 file."""
        with closing(self.open(model)) as runner:
            found = scores(runner, self.unseen, self._counted("scores in INT8: sample", len(self.unseen)))
            accuracy = None
            if self.labelled is not None:
                before, after = self.labelled_before, self._labelled_scores(runner, self.labelled, "in INT8")
                accuracy = measured_accuracy(before, after, self.labelled.labels, skipped=self.labelled.skipped)
            times = interleaved_ms([self.float_runner, runner], self.unseen[0])
        return compare_scores(self.float_scores, found), accuracy, times[0], times[1]

    @cached_property
    def labelled_before(self) -> Scores:
        assert self.labelled is not None
        return self._labelled_scores(self.float_runner, self.labelled, "in the float network")

    def layer_errors(self, model: onnx.ModelProto) -> dict[str, float | None]:
        """The signal to error of what each layer writes, with all layers before it quantized too."""
        pairs = self._compared(model)
        exact = open_runner(
            expose(self.model, *(name for name, _ in pairs.values())).SerializeToString(), optimize=False
        )
        found = open_runner(expose(model, *(name for _, name in pairs.values())).SerializeToString(), optimize=False)
        (info,) = exact.inputs
        signal, error = dict.fromkeys(pairs, 0.0), dict.fromkeys(pairs, 0.0)
        for feed in self.unseen[:FEWEST]:
            first, second = exact.run({info.name: feed}), found.run({info.name: feed})
            for layer, (name, other) in pairs.items():
                signal[layer] += float(np.square(first[name], dtype=np.float64).sum())
                error[layer] += float(np.square(second[other].astype(np.float64) - first[name]).sum())
        return {layer: decibels(signal[layer], error[layer]) for layer in pairs}

    def _compared(self, model: onnx.ModelProto) -> dict[str, tuple[str, str]]:
        """For each layer, what it writes in float, and what the INT8 file makes of that.

        Where an activation was merged with the steps to INT8, it is what the activation writes, after these steps.
        """
        activations = {node.input[0]: node.output[0] for node in self.model.graph.node if node.op_type in ACTIVATIONS}
        steps = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
        back = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
        there = {name for node in model.graph.node for name in node.output}
        pairs = {}
        for node in self.model.graph.node:
            if node.name in set(self.layers):
                written = node.output[0] if node.output[0] in there else activations.get(node.output[0], "")
                pairs[node.name] = (written, back.get(steps.get(written, ""), written))
        return {layer: pair for layer, pair in pairs.items() if pair[1] in there}

    def harm(self, ranges: Ranges) -> dict[str, float | None]:
        """The signal to error at the scores with one layer quantized alone, the most harmful first."""
        found = {}
        candidates = [name for name in self.layers if name not in self.order.exclude]
        for number, name in enumerate(candidates):
            self.steps.detail(f"harm of each layer: {number + 1} of {len(candidates)}", number / len(candidates))
            others = [other for other in self.layers if other != name]
            found[name] = self.closeness(self.build(ranges, others), FEWEST)
        return dict(sorted(found.items(), key=lambda pair: _height(pair[1])))

    def _labelled_scores(self, runner: Runner, images: LabelledImages, where: str) -> Scores:
        assert self.card is not None
        feeds = (card_inputs(self.card, pixels[None]) for pixels in images)
        return scores(runner, feeds, self._counted(f"labelled images {where}: image", len(images)))

    def _counted(self, what: str, count: int) -> Callable[[int], None]:
        return lambda number: self.steps.detail(f"{what} {number + 1} of {count}", number / count)


def _height(ratio: float | None) -> float:
    """Without any error, a ratio of signal to error is above all others."""
    return math.inf if ratio is None else ratio


def quantize(order: QuantizeOrder, *, progress: OnProgress = ignore) -> Quantized:
    """Write the INT8 file to `order.out`, if it holds the limit."""
    work = Quantizer(order, Steps(progress))
    methods = [method for method in METHODS if order.method in (AUTO, method)]
    ranges = work.ranges(methods)
    exclude = list(order.exclude)
    tried: dict[str, float | None] = {}
    work.steps.begin("choosing the method")
    for method in methods:
        work.steps.detail(method)
        tried[method] = work.closeness(work.build(ranges[method], exclude), FEW)
    method = max(methods, key=lambda each: _height(tried[each]))
    model = work.build(ranges[method], exclude)
    if work.may_shift:
        work.steps.detail("kernels of the layers")
        work.shifted = faster_shifted(model, work.model)
        model = work.build(ranges[method], exclude)
    work.steps.begin("measuring the INT8 network")
    result = _result(work, model, method, tried, exclude)
    if order.max_drop is not None and result.drop > order.max_drop:
        result, model = _given_back(work, result, ranges[method])
    if result.held:
        _write(work, model, result)
    return replace(result, shifted=[name for name in work.shifted if name not in result.kept])


def _result(
    work: Quantizer, model: onnx.ModelProto, method: Method, tried: Mapping[str, float | None], kept: Sequence[str]
) -> Quantized:
    agreement, accuracy, float_ms, int8_ms = work.measured(model)
    result = Quantized(
        method=method,
        tried=tried,
        source=work.data.source,
        digest=work.data.digest,
        samples=len(work.data.calibration),
        skipped=work.data.skipped,
        weight_bits=7 if work.reduced else 8,
        shifted=work.shifted,
        n_layers=len(work.layers),
        kept=list(kept),
        agreement=agreement,
        accuracy=accuracy,
        layers=work.layer_errors(model),
        harm={},
        steps=[],
        held=True,
        float_ms=float_ms,
        int8_ms=int8_ms,
    )
    return replace(result, steps=[_step(result, None)])


def _step(result: Quantized, added: str | None) -> GateStep:
    return GateStep(
        kept=len(result.kept),
        added=added,
        drop=result.drop,
        top1=result.agreement.top1,
        speedup=result.float_ms / result.int8_ms,
    )


def _given_back(work: Quantizer, result: Quantized, ranges: Ranges) -> tuple[Quantized, onnx.ModelProto]:
    """Give layers back to float in the order of their harm until the limit holds, or none is left."""
    assert work.order.max_drop is not None
    work.steps.begin("giving layers back to float")
    harm = work.harm(ranges)
    kept, steps = list(result.kept), list(result.steps)
    model = work.model
    for name in list(harm)[:-1]:  # with the last one, nothing would be quantized
        kept.append(name)
        work.steps.detail(f"{len(kept)} layers in float")
        model = work.build(ranges, kept)
        agreement, accuracy, float_ms, int8_ms = work.measured(model)
        result = replace(
            result, kept=list(kept), agreement=agreement, accuracy=accuracy, float_ms=float_ms, int8_ms=int8_ms
        )
        steps.append(_step(result, name))
        if result.drop <= work.order.max_drop:
            return replace(result, steps=steps, harm=harm, layers=work.layer_errors(model)), model
    return replace(result, steps=steps, harm=harm, held=False), model


def _write(work: Quantizer, model: onnx.ModelProto, result: Quantized) -> None:
    if work.card is None:
        embed_source(model, work.order.made_from)
    else:
        facts = Quantization(
            target=work.order.target,
            method=result.method,
            samples=result.samples,
            digest=result.digest,
            source=result.source,
            weight_bits=result.weight_bits,
            kept=tuple(result.kept),
        )
        embed_card(model, replace(work.card, precision="int8", quantization=facts))
    check_structure(model)
    Path(work.order.out).write_bytes(serialize(model))


def main() -> None:
    answers = open_answers()
    try:
        order = validated(QuantizeOrder, read_request()["order"])
        found = quantize(order, progress=teller(answers))
        send(answers, asdict(found))
    except Exception as error:  # the parent says what it means
        send(answers, error_answer(error))


if __name__ == "__main__":
    main()
