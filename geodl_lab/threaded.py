"""What threads made, in the order in which it was wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    submit: Callable[[T], Future[R]], items: Iterable[T], depth: int
) -> Generator[R, None, None]:
    """Yield the results of ``submit`` in the order of ``items``, with ``depth`` more under way."""
    queue: deque[Future[R]] = deque()
    try:
        for item in items:
            queue.append(submit(item))
            if len(queue) > depth:
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()
    finally:
        for future in queue:
            future.cancel()
