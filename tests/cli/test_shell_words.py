"""Words as bash reads them: compared with a real bash, which evaluates what `quote_rest` writes."""

from __future__ import annotations

import shutil
import string
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geographer.cli.shell_words import OpenWords, Quote, WordReader, quote_rest

TEXTS = st.text(st.sampled_from([*string.printable, "é", "雪", "😀"]), max_size=12)
QUOTES: tuple[Quote, ...] = ("", "'", '"', "$'")
SAMPLES = [
    "lake 1",
    "it's",
    'q"uote',
    "do$lar`x`",
    "new\nline",
    "tab\there",
    "ba\\ck",
    "exc!am",
    "été",
    "*?[a]{b,c}",
    "~#;&|<>()",
]


@settings(max_examples=50)
@given(TEXTS, TEXTS, st.sampled_from(QUOTES))
def test_reader_reads_what_is_quoted(first: str, second: str, quote: Quote):
    whole = quote_rest(first, "") or '""'
    line = f"geographer {whole} {quote}{quote_rest(second, quote)}"
    has_words = bool(second or quote)
    assert WordReader(line).read_words() == OpenWords(["geographer", first], second, quote if has_words else "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_reads_what_is_quoted():
    words = [f"{quote}{quote_rest(text, quote)}{quote[-1:]}" for text in SAMPLES for quote in QUOTES]
    script = f"printf '%s\\0' {' '.join(words)}"
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split("\0")[:-1] == [text for text in SAMPLES for _ in QUOTES]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a 'it\\'s' ", OpenWords(["a", "it's"], "", "")),
        ('a "$b \\$c\\d', OpenWords(["a"], "$b $c\\d", '"')),
        ("a b\\ c\\n", OpenWords(["a"], "b c\n", "")),
        ("a 'b\\\\", OpenWords(["a"], "b\\", "'")),
        ("a \\x41\\u00e9", OpenWords(["a"], "Aé", "")),
    ],
)
def test_reader_knows_the_quotes_of_fish(line: str, expected: OpenWords):
    assert WordReader(line, is_fish=True).read_words() == expected


@pytest.mark.parametrize("line", ["", " ", "\\", "'", '"\\', "$'\\", "$'\\x", "$'\\UFFFFFFFF", "a\\", "\0"])
def test_reader_accepts_unfinished_lines(line: str):
    for is_fish in (False, True):
        assert isinstance(WordReader(line, is_fish=is_fish).read_words(), OpenWords)
