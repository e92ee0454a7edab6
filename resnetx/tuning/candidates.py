"""The ways to run a model that a search tries: file, provider, precision, threads, streams and batch size."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from resnetx.base.precisions import SessionPrecision
from resnetx.base.validation import Positive
from resnetx.runtime.catalog import BY_NAME, find_provider
from resnetx.tuning.options import Objective

SOURCE = "source"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """`file` is `source` or the name of a file made from it. `streams` is the number of runs at the same time, and
    `threads` that of all of them together."""

    file: str
    provider: str
    precision: SessionPrecision
    threads: Positive
    streams: Positive = 1
    batch: Positive = 1

    @property
    def options(self) -> dict[str, str]:
        """The provider's own options."""
        key = find_provider(self.provider).streams_key
        return {key: str(self.streams)} if key and self.streams > 1 else {}

    @property
    def session_threads(self) -> int:
        """The threads that the session is opened with: a provider without streams gives as many to each run."""
        return self.threads if find_provider(self.provider).streams_key else max(1, self.threads // self.streams)

    @property
    def engine(self) -> tuple[str, str, str]:
        return self.file, self.provider, self.precision

    @property
    def title(self) -> str:
        precision = "" if self.precision == "default" else f" in {self.precision}"
        streams = f", {self.streams} streams" if self.streams > 1 else ""
        threads = f", {self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{self.file} on {self.provider}{precision}{threads}{streams}, batch {self.batch}"


@dataclass(frozen=True, kw_only=True)
class Space:
    """What may be combined. `runs` are the providers of each file, and `precisions` those of each provider.

    `threads` are the numbers of threads, the default first.
    """

    objective: Objective
    runs: Mapping[str, Sequence[str]]
    precisions: Mapping[str, Sequence[SessionPrecision]]
    threads: Sequence[int]
    batches: Sequence[int]
    bound_ms: float | None = None

    @property
    def baseline(self) -> Candidate:
        """What everybody has: the file as it is, on the first provider of the catalog."""
        return Candidate(
            file=SOURCE,
            provider=next(iter(BY_NAME)),
            precision="default",
            threads=self.threads[0],
            batch=self.batches[0],
        )

    def engines(self) -> Iterator[Candidate]:
        """Each file on each of its providers in each precision, the rest as in the baseline."""
        for file, providers in self.runs.items():
            for provider in providers:
                # The layers that a lower precision left in float32 are as fast as they can be.
                chosen = self.precisions[provider] if file == SOURCE else ("default",)
                for precision in chosen:
                    yield replace(self.baseline, file=file, provider=provider, precision=precision)

    def with_threads(self, candidate: Candidate) -> Iterator[Candidate]:
        """The same with other numbers of threads; on a GPU they don't matter."""
        if not find_provider(candidate.provider).gpu:
            yield from (replace(candidate, threads=threads) for threads in self.threads[1:])

    def streams(self, candidate: Candidate) -> Iterator[int]:
        """Numbers of runs at the same time."""
        most = 2 if find_provider(candidate.provider).gpu else candidate.threads
        yield from sorted({streams for streams in (1, 2, most // 2, most) if 1 <= streams <= most})


def thread_counts(default: int, cpus: int, asked: int | None) -> tuple[int, ...]:
    """The default, and what may be faster: half of the cores, and all logical processors."""
    if asked is not None:
        return (asked,)
    return tuple(dict.fromkeys((default, max(1, default // 2), max(default, cpus))))
