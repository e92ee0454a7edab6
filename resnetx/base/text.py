"""Text from files and libraries, made safe to show: on a terminal, in XML and in messages."""

SAID_AT_MOST = 200
ELLIPSIS = "…"


def printable(text: str) -> str:
    """The text without control characters, which could steer a terminal and which XML has no place for."""
    return "".join(character if character.isprintable() else "?" for character in text)


def one_line(text: str) -> str:
    """Printable, with every run of white space as one space."""
    return printable(" ".join(text.split()))


def readable(text: str, most: int = SAID_AT_MOST) -> str:
    """One printable line of at most `most` characters, its end cut off."""
    line = one_line(text)
    return line if len(line) <= most else line[: most - 3] + "..."


def shorten(text: str, most: int) -> str:
    """The start and the end of a text, because what tells two files apart is often at the end."""
    if len(text) <= most:
        return text
    tail = most // 2
    return f"{text[: most - tail - 1]}{ELLIPSIS}{text[-tail:]}"
