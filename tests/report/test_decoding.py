"""`decode()`: strings that are encoded differently become equal, and each character keeps its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_kcevents.report.decoding import decode, decode_with_places


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("Aa 5-\n", "aa5-"),
        (" ä \ud800", "Ã¤"),
        ("a\x7fb\xadc\u200bd\u2028e\u202ef\ufeff", "abcdef"),
        ("%C3%a4", "Ã¤"),
        (r"\xc3\xa4 \u00e4 \ud83d", "Ã¤Ã¤"),
        ("&#228;&#xE4;&#55555;", "Ã¤Ã¤"),
        ("%41%2B%252b%20", "a++"),
        ("50%of 50%25of", "50%of50%of"),
        (r"\x41\\x2d\u0042\n\\n\"", "a-b"),
        (r"A\tB\fC\vD\aE\bF\rG", "abcdefg"),
        ("&lt;&amp;gt;&#x41;&#66;&quot;&amp;#39;", "<>ab"),
        ("a=\nb=c", "ab=c"),
        ("&amp;&copy;&;", "&&copy;&;"),
    ],
)
def test_string_is_decoded(text: str, decoded: str) -> None:
    assert decode(text) == decoded


def test_characters_have_their_places() -> None:
    assert decode_with_places("%41 \\u0042cä") == ("abcÃ¤", [(0, 3), (4, 10), (10, 11), (11, 12), (11, 12)])


@given(st.text(alphabet="aä%25&#;x41\\u0 n=\n'", max_size=30))
def test_places_are_those_of_the_decoded_string(text: str) -> None:
    decoded, places = decode_with_places(text)
    assert decoded == decode(text)
    assert len(places) == len(decoded)
    assert "".join(decode(text[start:end]) for start, end in dict.fromkeys(places)) == decoded


@pytest.mark.parametrize("text", ["\\" * 50_000, "&amp;" * 10_000, "%25" * 20_000, "&" * 50_000, "&#" + "1" * 50_000])
def test_time_is_linear(text: str) -> None:
    """A pattern that backtracks would take minutes."""
    assert len(decode(text)) <= len(text)
