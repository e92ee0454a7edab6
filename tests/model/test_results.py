"""The names of a module's results, whatever they are nested in."""

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnetx.errors import UsageError
from resnetx.model.results import named_tensors

A, B = torch.zeros(1), torch.ones(2)


@dataclass
class Detection:
    boxes: torch.Tensor
    scores: torch.Tensor
    loss: torch.Tensor | None = None


Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("result", "names"),
    [
        (A, ["output"]),
        ((A,), ["output"]),
        ([A, B], ["output0", "output1"]),
        ({"mask": A}, ["mask"]),
        ({"z": A, "a": B}, ["z", "a"]),
        (Detection(A, B), ["boxes", "scores"]),
        (Pair(A, B), ["left", "right"]),
        ((A, None, B), ["output0", "output2"]),
        ({"out": A, "aux": {"pair": [B, B]}, 3: B}, ["out", "aux.pair.0", "aux.pair.1", "output3"]),
        (({"a": A}, [B]), ["output0.a", "output1.0"]),
        (torch.max(torch.ones(2, 2), 1), ["output0", "output1"]),
    ],
    ids=str,
)
def test_tensors_are_named_by_what_leads_to_them(result: Any, names: list[str]) -> None:
    assert list(named_tensors(result)) == names


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "returns nothing"),
        ("cat", "type str"),
        ((), "type tuple, and no tensor"),
        ((A, "cat"), "type str in 1"),
        ({"a": A, "loss": 0.5}, "type float in loss"),
        (A.numpy(), "type ndarray"),
        ({"a": {"b": A}, "a.b": B}, "would both be the output 'a.b'"),
    ],
    ids=str,
)
def test_what_is_no_tensor_is_refused_by_its_place(result: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        named_tensors(result)


def containers(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.text("abc", min_size=1, max_size=3)
    return st.lists(leaves, max_size=3) | st.dictionaries(keys, leaves, max_size=3) | st.tuples(leaves, leaves)


@given(st.recursive(st.none() | st.builds(torch.zeros, st.just(1)), containers, max_leaves=12))
def test_every_tensor_has_one_name_in_order(result: Any) -> None:
    def leaves(value: Any) -> list[torch.Tensor]:
        items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
        return [value] if isinstance(value, torch.Tensor) else [leaf for item in items for leaf in leaves(item)]

    wanted = leaves(result)
    if not wanted:
        with pytest.raises(UsageError):
            named_tensors(result)
        return
    found = named_tensors(result)
    assert len(found) == len(wanted)
    assert all(one is other for one, other in zip(found.values(), wanted, strict=True))
