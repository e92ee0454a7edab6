"""A real worker of a benchmark whose runner raises in the threads of its traffic, when it has worked for a while."""

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from resnetx.benchmark.worker import CaseOrder, main
from resnetx.graph.card import ModelCard
from resnetx.runtime.ort.session import open_session
from resnetx.runtime.runner import Runner

WORKS = 40


class Failing:
    """A session, until it is not."""

    def __init__(self, model: Path) -> None:
        self._session = open_session(model, threads=1)
        self.provider, self.effective_precision = self._session.provider, self._session.effective_precision
        self.placement, self.options = self._session.placement, self._session.options
        self.inputs, self.outputs = self._session.inputs, self._session.outputs
        self._traffic = 0

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._traffic += threading.current_thread() is not threading.main_thread()
        if self._traffic > WORKS:
            raise RuntimeError("the device fell off")
        return self._session.run(feeds)


def opened(order: CaseOrder, card: ModelCard | None) -> tuple[Runner, float]:
    return Failing(Path(order.model)), 0.0


if __name__ == "__main__":
    main(opened)
