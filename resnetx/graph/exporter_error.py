"""Says in one sentence why user code failed or could not be exported: the cause, and the line of that code."""

import linecache
import re
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType

import torch
from torch import fx

from resnetx.base.text import readable

ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# How errors of the exporters, and the graph's nodes, name a line.
PLACES = (
    re.compile(r'File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<function>\w+)'),
    re.compile(r"(?P<file>[^\s()\"']+\.py)\((?P<line>\d+)\): (?P<function>\w+)"),
)
OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)', overload='(\w+)'\)>")
UNKNOWN_NAMESPACE = re.compile(r"unrecognized namespace ([\w:]+)")
FIXED_SIZE = re.compile(r"(?:specialized it to be a constant \(|inferred a static shape of )(\d+)")
# What Python runs between the user's lines.
LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
TOOLS = ("/onnxscript/", "/onnx_ir/", "/sympy/")
MOST = 300


def explain(error: BaseException) -> str:
    """The cause of an exporter's error, or of one in the user's module, and where that code stands."""
    chain = list(_causes(error))
    return f"{_cause(chain)}{_place(chain)}"


def depends_on_values(error: BaseException) -> bool:
    """Whether the module branches on the values of a tensor, which an exporter can't follow."""
    return any(type(each).__name__.startswith("GuardOnDataDependent") for each in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from, the deepest first."""
    if error is not None:
        yield from _causes(error.__cause__)
        yield error


def _cause(chain: list[BaseException]) -> str:
    if depends_on_values(chain[-1]):
        return "what it does depends on the values of a tensor, which are known only when it runs"
    for error in chain:
        text = ANSI.sub("", str(error))
        if found := OPERATOR.search(text) or UNKNOWN_NAMESPACE.search(text):
            name = ".".join(found.groups()).replace("::", ".").removesuffix(".default")
            return f"there is no ONNX operator for {name}"
        if found := FIXED_SIZE.search(text):
            return f"it fixes a size that should be free to {found[1]}"
    deepest = chain[0]
    first = next(iter(ANSI.sub("", str(deepest)).strip().splitlines()), "")
    return f"{type(deepest).__name__}: {readable(first, MOST).rstrip('. ')}" if first else type(deepest).__name__


def _place(chain: list[BaseException]) -> str:
    """`, at model.py:31 in forward: the line`, or nothing if it is unknown."""
    places = [place for error in chain for place in (_of_node(error), _of_traceback(error), _of_text(error)) if place]
    if not places:
        return ""
    file, line, function = places[0]
    path = Path(file)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    source = linecache.getline(file, line).strip()
    return f", at {shown}:{line} in {function}{f': `{readable(source, 120)}`' if source else ''}"


def _of_traceback(error: BaseException) -> tuple[str, int, str] | None:
    """The innermost line of the user's code that was running."""
    own = [
        (frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in _frames(error.__traceback__)
        if _is_users(frame.f_code.co_filename)
    ]
    return own[-1] if own else None


def _of_node(error: BaseException) -> tuple[str, int, str] | None:
    """The line that made the node which was being translated: the module itself does not run any more then."""
    for frame, _ in reversed(list(_frames(error.__traceback__))):
        node = frame.f_locals.get("node")
        if isinstance(node, fx.Node) and node.stack_trace:
            return _named(node.stack_trace)
    return None


def _of_text(error: BaseException) -> tuple[str, int, str] | None:
    return _named(ANSI.sub("", str(error)))


def _named(text: str) -> tuple[str, int, str] | None:
    """The last line of the user's code that a text names."""
    found = [match for pattern in PLACES for match in pattern.finditer(text) if _is_users(match["file"])]
    return (found[-1]["file"], int(found[-1]["line"]), found[-1]["function"]) if found else None


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _is_users(file: str) -> bool:
    return not file.startswith((*LIBRARIES, "<")) and not any(tool in file for tool in TOOLS)
