"""A real worker of a benchmark whose runner raises in the threads of its traffic, when it has worked for a while."""

import threading
from pathlib import Path

import numpy as np

from resnetx.benchmark.worker import CaseOrder, main
from resnetx.graph.card import ModelCard
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.runner import Call, Feeds, Runner

WORKS = 40


class Failing(Runner):
    """A session, until it is not."""

    def __init__(self, model: Path) -> None:
        self._session = open_runner(model, threads=1)
        super().__init__(self._session.facts)
        self._traffic = 0

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        self._traffic += threading.current_thread() is not threading.main_thread()
        if self._traffic > WORKS:
            raise RuntimeError("the device fell off")
        return self._session.run(feeds)

    def bind(self, feeds: Feeds) -> Call:
        return lambda: self.run(feeds)

    def close(self) -> None:
        self._session.close()


def opened(order: CaseOrder, card: ModelCard | None) -> Runner:
    return Failing(Path(order.model))


if __name__ == "__main__":
    main(opened)
