"""Ends transfers that no honest server needs: a byte now and then would otherwise keep a download alive for ever."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from resnetx.errors import SourceError

if TYPE_CHECKING:
    import httpx2

# An answer must begin within this time, from connecting to the end of its headers.
ANSWER_S = 60.0
# Afterwards so many bytes must arrive in every window: 32 KiB in a second, so that 2 GiB take 18 hours at most.
WINDOW_S = 60.0
BYTES_IN_A_WINDOW = 60 * 2**15
# The body of an answer that is not the file, such as a redirect's, which is read as a whole.
MOST_BESIDE = 2**20


@contextmanager
def paced(client: "httpx2.Client", *, shown: str) -> Iterator[None]:
    """Within this context, a request of `client` that is too slow is a SourceError; the client is then closed."""
    watch = _AnswerWatch(client)

    def answered(response: "httpx2.Response") -> None:
        watch.cancel()
        most = None if response.status_code in (200, 206) else MOST_BESIDE
        response.stream = _paced_stream(response.stream, shown, most)  # type: ignore[arg-type]  # of a synchronous client

    hooks: dict[str, list[Callable[..., object]]] = client.event_hooks
    hooks["request"].append(watch.begin)
    hooks["response"].append(answered)
    try:
        yield
    except Exception as error:
        if watch.expired:
            raise SourceError(
                f"Cannot fetch {shown}: the server did not answer within {ANSWER_S:g} s. Try again later, or fetch "
                "the file by other means and give its path."
            ) from error
        raise
    finally:
        watch.end()
        hooks["request"].remove(watch.begin)
        hooks["response"].remove(answered)


class _AnswerWatch:
    """Closes the client if the headers of an answer are not complete in time: timeouts of reads don't see that."""

    def __init__(self, client: "httpx2.Client") -> None:
        self.expired = False
        self._client = client
        self._deadline: float | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def begin(self, _: object) -> None:
        self._set(time.monotonic() + ANSWER_S)

    def cancel(self) -> None:
        self._set(None)

    def end(self) -> None:
        self._ended = True
        self._set(None)
        self._thread.join()

    def _set(self, deadline: float | None) -> None:
        with self._changed:
            self._deadline = deadline
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._ended and not self.expired:
                left = None if self._deadline is None else self._deadline - time.monotonic()
                if left is not None and left <= 0:
                    self.expired = True
                    break
                self._changed.wait(left)
        if self.expired:
            with suppress(Exception):  # whatever it says, the connection is gone
                self._client.close()


def _paced_stream(stream: "httpx2.SyncByteStream", shown: str, most: int | None) -> "httpx2.SyncByteStream":
    import httpx2

    class Paced(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            began, in_window, total = time.monotonic(), 0, 0
            for chunk in stream:
                in_window += len(chunk)
                total += len(chunk)
                now = time.monotonic()
                if now - began > WINDOW_S:
                    if in_window < BYTES_IN_A_WINDOW:
                        raise SourceError(_too_slow(shown, in_window, now - began))
                    began, in_window = now, 0
                if most is not None and total > most:
                    raise SourceError(
                        f"Cannot fetch {shown}: the server answers with more than {most:,} bytes that are not the file."
                    )
                yield chunk

        def close(self) -> None:
            stream.close()

    return Paced()


def _too_slow(shown: str, received: int, seconds: float) -> str:
    return (
        f"Cannot fetch {shown}: the server sent {received:,} bytes in the last {seconds:.0f} s, and fewer than "
        f"{BYTES_IN_A_WINDOW:,} in {WINDOW_S:g} s are given up. What was received may be kept, so that the next run "
        "resumes from there. Try again later, or fetch the file by other means and give its path."
    )
