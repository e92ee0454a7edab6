"""The error of a graph that cannot be evaluated; it imports no torch, which may be what is missing."""


class UnsupportedGraph(Exception):
    """The graph can't be evaluated; the message names the first operator that prevents it."""

    def __init__(self, message: str, *, operator: str = "") -> None:
        super().__init__(f"{operator}: {message}" if operator else message)
        self.operator = operator
        self.reason = message
