"""The node tests that the onnx package ships: models of one operator each, with inputs and expected outputs."""

import warnings
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

# What image classifiers do not contain: text, sequences, losses, training, signals, classical machine learning, and
# what is random. Each is refused by its name.
REFUSED = frozenset(
    (
        *("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss", "Momentum", "Adagrad", "Adam", "Bernoulli"),
        *("RandomUniformLike", "LinearAttention", "CausalConvWithState", "FlexAttention", "BitCast", "DFT", "STFT"),
        *(
            "ImageDecoder",
            "OptionalHasElement",
            "OptionalGetElement",
            "TfIdfVectorizer",
            "SequenceMap",
            "SplitToSequence",
        ),
        *("SequenceLength", "SequenceConstruct", "SequenceInsert", "StringSplit", "StringNormalizer", "StringConcat"),
        *("RegexFullMatch", "LabelEncoder", "TreeEnsemble", "ArrayFeatureExtractor", "Binarizer", "BlackmanWindow"),
        *("HammingWindow", "HannWindow", "MelWeightMatrix"),
    )
)
# Cases of supported operators that are refused, each for a reason of its own.
REFUSED_CASES = {
    **dict.fromkeys(("test_not_2d", "test_not_3d", "test_not_4d"), "opset 1"),
    **dict.fromkeys(
        (
            "test_identity_sequence",
            "test_identity_opt",
            "test_loop13_seq",
            "test_loop16_seq_none",
            "test_if_seq",
            "test_if_opt",
        ),
        "sequences",
    ),
    **dict.fromkeys(("test_equal_string", "test_equal_string_broadcast"), "text"),
    "test_scan_sum": "Scan of opset 8",
}


def _is_training(name: str) -> bool:
    return name.startswith("test_training_dropout") and "zero_ratio" not in name


def refused(name: str, model: onnx.ModelProto) -> bool:
    """Whether a case is one that is not supported."""
    operators = {node.op_type for node in model.graph.node}
    return bool(operators & REFUSED) or name in REFUSED_CASES or _is_training(name) or "e8m0" in name


@cache
def cases() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return {each.name: each for each in collect_testcases(None) if each.model is not None}


def as_array(value: Any) -> np.ndarray:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
