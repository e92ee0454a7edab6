"""A case: a family and a seed; the family writes the files and says what is run."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.corpus import Corpus


@dataclass
class Setting:
    """Where a case may write its input, and what it is made from; `environment` and `stdout` are for the command."""

    rng: random.Random
    folder: Path
    corpus: Corpus
    environment: dict[str, str] = field(default_factory=dict)
    stdout: str | None = None

    @property
    def out(self) -> Path:
        """The only folder in which the command may write."""
        return self.folder / "out"

    def write(self, name: str, data: bytes | str) -> Path:
        path = self.folder / name
        path.write_bytes(data.encode(errors="surrogatepass") if isinstance(data, str) else data)
        return path


Build = Callable[[Setting], list[str]]


@dataclass(frozen=True, kw_only=True)
class Family:
    """`share` is the family's part of all cases. `real` runs `python -m resnetx`, not a fork."""

    build: Build
    share: float
    real: bool = False
    limit_s: float = 20.0
    # Runs graphs of strangers, whose cost only the limits of base/isolation bound.
    needs_limits: bool = False


def damaged(rng: random.Random, data: bytes, other: bytes = b"") -> bytes:
    """Bytes changed, cut, doubled, or replaced by those of another file."""
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(data) + 1)
        size = rng.choice([1, 2, 4, 8, 64, 1024])
        match rng.randrange(7):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + rng.randbytes(size) + data[at + size :]
            case 2:
                data = data[:at] + data[at + size :]
            case 3:
                data = data[:at] + data[at : at + size] * rng.choice([2, 100]) + data[at + size :]
            case 4:
                data = data[:at] + rng.choice([b"\xff", b"\0", b"\x7f", b"\x80"]) * size + data[at + size :]
            case 5:
                start = rng.randrange(len(other) + 1)
                data = data[:at] + other[start : start + size] + data[at:]
            case _ if data:
                at = min(at, len(data) - 1)
                data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
    return data


HOSTILE_TEXTS = (
    "\x1b[2J\x1b[HPASSED",
    "\x9b31m",
    "\u202egnp.exe",
    "a\u200bb",
    "x" * 100_000,
    "word " * 20_000,
    "\x00",
    "\r\nPASSED",
    "<script>alert(1)</script>",
    "]]>&lt;",
    "{{7*7}}",
    "%s%n",
    "../../etc/passwd",
    "\u0301" * 5000,
    "[bold red]:bomb:",
    "",
)
