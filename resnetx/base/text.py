"""Text from files and libraries, made safe to show."""

SAID_AT_MOST = 200


def readable(text: str) -> str:
    """Text from a file or a crash as one short line that is safe on a terminal."""
    line = "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
    return line if len(line) <= SAID_AT_MOST else line[: SAID_AT_MOST - 3] + "..."
