"""Text from strangers: nothing that controls, deceives or fills a terminal, or breaks a file format, is left in it."""

import unicodedata
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetx.base.text import (
    MOST_CHARACTERS,
    MOST_OF_A_MESSAGE,
    file_size,
    message,
    one_line,
    printable,
    readable,
    shorten,
)

anything = st.text(st.characters(codec=None, categories=None), max_size=400) | st.text(
    st.sampled_from("a \n\x1b\x9b\u202e\u200b\u0301\ud800\ufeff\u3164\ufe0f\U000e0101\U000e0041"), max_size=400
)


@given(anything)
def test_no_text_controls_anything(text: str) -> None:
    for shown in (printable(text), one_line(text), readable(text), message(text)):
        assert shown.isprintable()
        assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") for character in shown)
        shown.encode()
        ElementTree.fromstring(ElementTree.tostring(ElementTree.Element("a", name=shown)))
    assert "\n" not in one_line(text) and len(readable(text)) <= MOST_CHARACTERS
    assert len(message(text)) <= MOST_OF_A_MESSAGE


@given(anything)
def test_what_is_sanitized_stays_as_it_is(text: str) -> None:
    assert printable(printable(text)) == printable(text)
    assert message(message(text)) == message(text)


@pytest.mark.parametrize("text", ["plain", "Łódź", "日本語", "naïve café", "שלום", "ที่", "नमस्ते", "👍", "a/b-c_d.onnx"])
def test_names_in_any_language_are_shown(text: str) -> None:
    assert printable(text) == text and message(text) == text


def test_marks_do_not_pile_up_and_what_is_invisible_is_seen() -> None:
    assert len(printable("a" + "\u0301" * 1000)) == 5
    assert printable("pass\u3164ed\u2800\U000e0101") == "pass?ed??"


@pytest.mark.parametrize("text", ["x" * 10**6, "word " * 10**5, "'" + "y" * 10**5 + "' is wrong", "\x1b" * 10**6])
def test_a_message_of_any_length_is_short_and_keeps_its_end(text: str) -> None:
    shown = message(f"The name {text} cannot be used. Give another.")
    assert len(shown) <= MOST_OF_A_MESSAGE and shown.startswith("The name") and shown.endswith("Give another.")


@given(st.text(max_size=50), st.integers(3, 20))
def test_shortening_keeps_both_ends(text: str, most: int) -> None:
    shown = shorten(text, most)
    assert len(shown) <= most
    assert shown == text if len(text) <= most else shown[0] == text[0] and shown[-1] == text[-1]


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (102_336_402, "102.3 MB"), (2**41, "2,199.0 GB")],
)
def test_the_size_of_a_file(size: int, words: str) -> None:
    assert file_size(size) == words
