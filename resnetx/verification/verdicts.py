"""The verdicts on a file and on each provider, and what is computed once for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

import onnx

from resnetx.base.precisions import Precision
from resnetx.graph.card import ModelCard
from resnetx.graph.layers import expose, layer_nodes, softmax_input
from resnetx.graph.node_names import uniquely_named
from resnetx.model.layer_names import original_name
from resnetx.runtime.catalog import BY_NAME
from resnetx.runtime.file_precision import stored_precision
from resnetx.runtime.runner import Runner
from resnetx.verification.card_check import check_card
from resnetx.verification.coverage_result import Coverage
from resnetx.verification.evaluation.unsupported import UnsupportedGraph
from resnetx.verification.exact_graph import ExactGraph
from resnetx.verification.file_check import compare_exactly
from resnetx.verification.float_agreement import Rehearsal, compare_with_float, rehearse
from resnetx.verification.judge import Reopen, file_logits, judge
from resnetx.verification.layers import LayerParity
from resnetx.verification.parity import Tolerance
from resnetx.verification.quantization_steps import compare_steps
from resnetx.verification.reference_outputs import Feeds, Trace, are_batches, first_feeds, first_samples
from resnetx.verification.references import Truth
from resnetx.verification.result import FileVerdict, ProviderVerdict
from resnetx.verification.runtime_check import GraphAnswers, compare_with_bundle, compare_with_graph
from resnetx.verification.structure.reference_file import compare_with_file
from resnetx.verification.structure.result import StructureComparison, without_rearrangements
from resnetx.verification.structure.sketch import compare_with_sketch

if TYPE_CHECKING:
    from resnetx.verification.pytorch_reference import Network


@dataclass(kw_only=True)
class Verdicts:
    """`precision` is the user's word on the file's; by default, it should be the card's.

    With a `tolerance` of the user, only the outputs are compared; `inner`: inner tensors as well.
    """

    model: onnx.ModelProto
    card: ModelCard | None
    truth: Truth
    precision: Precision | None = None
    tolerance: Tolerance | None = None
    inner: bool = True

    def __post_init__(self) -> None:
        # Rows are told apart by their names, and a file may give none, or one to all.
        self.model = uniquely_named(self.model)

    @cached_property
    def expected(self) -> str:
        """The precision that the file should have."""
        return self.precision or stored_precision(self.model.graph)

    @cached_property
    def file(self) -> FileVerdict | None:
        """Is it the network?"""
        if self.tolerance is not None:
            return None
        truth, coverage = self.reached
        verdict = FileVerdict()
        if truth.original is not None and self.inner:
            verdict = self._compared_with_network(*self.compared)
        if verdict == FileVerdict() and self.structure is None and self.card is None:
            return None
        structure = self.structure
        if structure is not None and verdict.parity is not None and verdict.passed:
            fused = any(node.domain not in ("", "ai.onnx") for node in self.model.graph.node)
            structure = without_rearrangements(structure, fused=fused)
        verdict = replace(verdict, structure=structure, coverage=coverage)
        if self.card is not None:
            card = check_card(self.model, self.card, origin=self.truth.origin, precision=self.precision)
            verdict = replace(verdict, problems=card.problems, unshown=card.unshown)
        return replace(verdict, wrong_layer=self._wrong_layer(verdict))

    def _compared_with_network(self, feeds: Feeds, exact: list[Trace]) -> FileVerdict:
        truth = self.reached[0]
        verdict = compare_exactly(
            self.graph,
            truth,
            self.card,
            (feeds, exact),
            precision=self.expected,
            proved=self.proved,
            originals=self.originals,
        )
        return self._with_steps(verdict, truth) if self.expected == "int8" and verdict.parity else verdict

    def file_after(self, providers: Sequence[ProviderVerdict]) -> FileVerdict | None:
        """The verdict on the file, once the providers have run it.

        Where the file seems right and only the outputs of a batch are wrong, the file is compared on that whole batch:
        it may treat places of a batch differently.
        """
        own, truth = self.file, self.reached[0]
        wrong = [check.batch for each in providers for check in each.parity.checks if not check.passed]
        if own is None or own.parity is None or not own.passed or truth.original is None or not wrong:
            return own
        feeds = next((each for each in truth.feeds if each[0].shape[:1] == (max(wrong),)), None)
        if feeds is None or any(not layer.passed for each in providers for layer in each.layers):
            return own
        whole = self._compared_with_network([feeds], [truth.original.exact(feeds)])
        if whole.passed:
            return own
        found = replace(own, parity=whole.parity, layers=whole.layers, left_out=whole.left_out)
        return replace(found, wrong_layer=self._wrong_layer(found))

    @property
    def proved(self) -> bool:
        """Whether weights and wiring are known to be those of the network."""
        return self.structure is not None and self.structure.complete

    @cached_property
    def reached(self) -> tuple[Truth, Coverage | None]:
        """The reference with samples added for the channels that no other reaches, if the file is not proved."""
        truth = self.truth
        observable = truth.module is not None and all(are_batches(feeds) for feeds in truth.probes)
        if not observable or not self.inner or self.tolerance is not None:
            return truth, None
        from resnetx.verification.reach import with_reach

        network = cast("Network", truth.original)
        return with_reach(truth, network, precision=self.expected, proved=self.proved)

    @cached_property
    def compared(self) -> tuple[Feeds, list[Trace]]:
        """The inputs whose inner tensors are compared, with the network's own: few where the file is proved."""
        truth = self.reached[0]
        assert truth.original is not None
        traces = [truth.original.exact(feeds) for feeds in truth.probes]
        few = first_feeds(truth.probes[0]) if self.proved and not truth.fixed and len(traces) == 1 else None
        cut = None if few is None else first_samples(traces[0], of=len(truth.probes[0][0]))
        return (truth.probes, traces) if few is None or cut is None else ([few], [cut])

    def _with_steps(self, verdict: FileVerdict, truth: Truth) -> FileVerdict:
        """The layers with each step to INT8 in its place."""
        steps = {row.name: row for row in compare_steps(self.model, truth.probes, originals=self.originals)}
        rows = [*(row for row in verdict.layers if row.name not in steps), *steps.values()]
        rows.sort(key=lambda row: self._place(row.name))
        left_out = {name: why for name, why in verdict.left_out.items() if name not in steps}
        return replace(verdict, layers=tuple(rows), left_out=left_out)

    def _wrong_layer(self, verdict: FileVerdict) -> str | None:
        """The first layer that is wrong by its numbers; without any, or where these are coarse, also by its weights.

        In float32 the numbers are exact: a layer before the first wrong one is right, whatever else differs there.
        """
        if verdict.passed:
            return None
        fault, structure = verdict.first_fault, verdict.structure
        named = [] if fault is None else [fault.name]
        if structure is not None and not (fault is not None and self.expected == "fp32"):
            named += [each.layer for each in structure.differences]
            # What is not in the network is wrong if nothing else is.
            named = named or [each.layer for each in structure.unrecognized if each.side == "file"][:1]
        return min(named, key=self._place, default=None)

    @cached_property
    def _order(self) -> dict[str, int]:
        return {node.name: number for number, node in enumerate(self.model.graph.node)}

    def _place(self, name: str) -> int:
        return self._order.get(name, len(self._order))

    @cached_property
    def structure(self) -> StructureComparison | None:
        """The weights and the graph beside the network's own: the module's, a golden bundle's or a reference file's."""
        if self.tolerance is not None:
            return None
        expected, feeds = cast(Precision, self.expected), self.truth.probes[0]
        if self.truth.module is not None:
            from resnetx.verification.structure.module_structure import compare_structure

            return compare_structure(self.model, self.truth.module, feeds, precision=expected)
        bundle, reference = self.truth.bundle, self.truth.file
        if bundle is not None and bundle.structure is not None:
            return compare_with_sketch(self.model, bundle.structure, precision=expected)
        if reference is not None and stored_precision(reference.graph) == "fp32":
            return compare_with_file(self.model, reference, feeds, precision=expected)
        return None

    def provider(self, runner: Runner, reopen: Reopen, precision: str) -> ProviderVerdict:
        """Do its outputs agree with the reference, and does it compute the file?"""
        logits = file_logits(self.model, reopen)
        truth = self.reached[0]
        parity, same, found = judge(
            runner, truth, self.card, precision=precision, hidden_logits=logits, tolerance=self.tolerance
        )
        graph, bundle = None, truth.bundle
        layers: tuple[LayerParity, ...] = ()
        left_out: dict[str, str] = {}
        notes = list(runner.facts.notes)
        if isinstance(self.answers, GraphAnswers):
            graph, layers = compare_with_graph(
                runner, self.answers, precision=precision, reopen=reopen, originals=self.originals
            )
            row = BY_NAME.get(runner.provider)
            if precision == "int8" and row is not None and row.moves_roundings:
                graph = None  # its outputs are compared with the reference, in units of INT8
                notes.append(f"{runner.provider} leaves out or moves roundings to INT8 that the file asks for")
        elif self.answers:
            notes.append(self.answers)
        elif bundle is not None and self.inner and self.tolerance is None:
            layers, left_out, why = compare_with_bundle(
                self.model,
                bundle,
                outputs_agree=parity.passed,
                precision=precision,
                reopen=reopen,
                originals=self.originals,
            )
            notes += [] if why is None else [why]
        agreement, known = None, truth.original is not None or bundle is not None
        if precision == "int8" and found and self.tolerance is None and known:
            agreement = compare_with_float(truth.samples, found, self.rehearsal)
        return ProviderVerdict(
            provider=runner.provider,
            precision=precision,
            placement=runner.placement,
            options=dict(runner.options),
            parity=parity,
            graph=graph,
            agreement=agreement,
            deterministic=same,
            layers=layers,
            left_out=left_out,
            notes=tuple(notes),
        )

    @property
    def _shows_logits(self) -> bool:
        return self.truth.outputs != ("logits",) or self.card is None or self.card.output == "logits"

    @cached_property
    def rehearsal(self) -> Rehearsal | None:
        """An INT8 file and the float network on a few samples, if both can be evaluated."""
        truth = self.reached[0]
        logits = self.graph.outputs[0] if self._shows_logits else softmax_input(self.model)
        if (
            truth.original is None
            or truth.samples.whole
            or logits is None
            or not isinstance(self.answers, GraphAnswers)
        ):
            return None
        graph = self.graph if self._shows_logits else ExactGraph(expose(self.model, logits))
        feeds = self.answers.feeds[0]
        exact, moved = truth.original.exact(feeds)[0], truth.original.perturbed(feeds, "int8")[0]
        return rehearse(graph, logits, feeds, exact, moved)

    @cached_property
    def graph(self) -> ExactGraph:
        logits = softmax_input(self.model)
        return ExactGraph(self.model, watched=() if logits is None else (logits,))

    @cached_property
    def answers(self) -> GraphAnswers | str | None:
        """The graph in float64, or why it cannot be evaluated; None if it is not needed."""
        # A golden bundle is for machines without torch; its own layers are compared.
        wanted = self.inner and self.tolerance is None and self.truth.bundle is None
        if not wanted:
            return None
        try:
            probes = self.truth.probes if self.truth.original is None else self.compared[0]
            return GraphAnswers(self.graph, probes[0], fixed=self.truth.fixed)
        except UnsupportedGraph as error:
            return f"the inner tensors were not compared: {error}"

    @cached_property
    def originals(self) -> dict[str, str | None]:
        """The names of the layers in the network's first publication."""
        config = self.card.config if self.card else None
        return {
            node.name: original_name(node.name, config.stages, config.classes) if config else None
            for node in layer_nodes(self.model)
        }
