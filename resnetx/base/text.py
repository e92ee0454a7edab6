"""Sanitizes text from files and libraries for terminals, XML and messages."""

MOST_CHARACTERS = 200
ELLIPSIS = "…"


def printable(text: str) -> str:
    """Replace control characters, which can control a terminal and which XML does not allow, with `?`."""
    return "".join(character if character.isprintable() else "?" for character in text)


def one_line(text: str) -> str:
    """Printable text, with every run of white space replaced by one space."""
    return printable(" ".join(text.split()))


def readable(text: str, most: int = MOST_CHARACTERS) -> str:
    """One printable line, cut after `most` characters."""
    line = one_line(text)
    return line if len(line) <= most else line[: most - 3] + "..."


def shorten(text: str, most: int) -> str:
    """Cut the middle of a text, because the names of two files often differ at the end."""
    if len(text) <= most:
        return text
    tail = most // 2
    return f"{text[: most - tail - 1]}{ELLIPSIS}{text[-tail:]}"
