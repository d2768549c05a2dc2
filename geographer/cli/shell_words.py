"""Words of a command line as a shell reads them: split and unquoted up to the cursor, and quoted to continue there."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

Quote = Literal["", "'", '"', "$'"]
"""The quote that is open at the cursor; `$'` is that of bash and zsh with escapes of control characters."""

_ESCAPES: Final = {
    **{"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"},
    **{"\\": "\\", "'": "'", '"': '"', "?": "?"},
}
_CODE: Final = re.compile(r"x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|([0-7]{1,3})")
_IN_DOUBLE_QUOTES: Final = '"\\$`\n'
_SPECIAL: Final = re.compile(r"""[\s'"\\$`!&|;<>(){}\[\]*?~#^]""")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class OpenWords(NamedTuple):
    """The whole words before the cursor, the text of the word at the cursor, and the quote that is open there."""

    words: list[str]
    text: str
    quote: Quote


class WordReader:
    """Reads a line up to the cursor; `is_fish` chooses the rules of fish instead of those of bash and zsh."""

    def __init__(self, line: str, *, is_fish: bool = False) -> None:
        self._line, self._is_fish = line, is_fish
        self._place = 0
        self._text = ""
        self._has_word = False
        self._quote: Quote = ""

    def read_words(self) -> OpenWords:
        """Return the words; a line that ends with a space has an empty word at the cursor."""
        words = []
        while self._place < len(self._line):
            if self._quote == "" and self._line[self._place].isspace():
                words += [self._text] if self._has_word else []
                self._text, self._has_word = "", False
                self._place += 1
            else:
                self._has_word = True
                self._read_part()
        return OpenWords(words, self._text, self._quote)

    def _read_part(self) -> None:
        """Read one character, or one escape, in the open quote."""
        character = self._line[self._place]
        if self._quote == "":
            self._read_unquoted(character)
        elif character == self._quote[-1]:
            self._place += 1
            self._quote = ""
        elif character == "\\" and (self._quote != "'" or self._is_fish):
            self._read_escape()
        else:
            self._take_character(character)

    def _read_unquoted(self, character: str) -> None:
        if character == "\\":
            self._read_escape()
        elif character in "'\"":
            self._quote = "'" if character == "'" else '"'
            self._place += 1
        elif self._line.startswith("$'", self._place) and not self._is_fish:
            self._quote = "$'"
            self._place += 2
        else:
            self._take_character(character)

    def _read_escape(self) -> None:
        """Read a backslash and what it escapes; at the end of the line it escapes nothing yet."""
        escaped = self._line[self._place + 1 : self._place + 2]
        if self._quote == "$'" or (self._quote == "" and self._is_fish):
            self._read_code(escaped)
            return
        can_escape = {"": True, '"': escaped in _IN_DOUBLE_QUOTES, "'": escaped in "\\'"}[self._quote]
        if not can_escape:
            self._text += "\\"
        # A backslash before the end of a line continues it.
        self._text += "" if escaped == "\n" and self._quote != "'" else escaped
        self._place += 2

    def _read_code(self, escaped: str) -> None:
        """Read an escape of a control character, or of any character by its number."""
        if code := _CODE.match(self._line, self._place + 1):
            digits = next(filter(None, code.groups()))
            number = int(digits, 8 if code.group(4) else 16)
            self._text += chr(number) if number < 0x110000 else ""
            self._place = code.end()
            return
        self._text += _ESCAPES.get(escaped, escaped if self._quote == "" else f"\\{escaped}")
        self._place += 2

    def _take_character(self, character: str) -> None:
        self._text += character
        self._place += 1


def quote_rest(text: str, quote: Quote) -> str:
    """Return text as bash and zsh read it behind an open quote, which stays open; or behind none."""
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote == '"':
        # Inside double quotes, no escape keeps an interactive bash from expanding '!'.
        return re.sub(r'(["\\$`])', r"\\\1", text).replace("!", "\"'!'\"")
    if quote == "$'":
        return _escape_text(text)
    if _CONTROL.search(text):
        return f"$'{_escape_text(text)}'"
    return _SPECIAL.sub(r"\\\g<0>", text)


def _escape_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", escaped)
