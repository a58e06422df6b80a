"""Blocks in order, each once, in bounded memory."""

from dataclasses import dataclass

import numpy as np

from geodl_lab.grid import Window
from geodl_lab.maps.queue import BlockQueue, Key


@dataclass(frozen=True, eq=False)
class Fake:
    costly: bool = True
    at_once: int = 2


def key(blocks, index):
    return Key(blocks, Window(0, index, 1, 1))


def by_column(one, waiters):
    return one.block.x


def test_the_first_in_order_runs_and_no_more_than_may_at_once():
    model, queue = Fake(), BlockQueue(1000)
    queue.ask("tile", [key(model, index) for index in (5, 1, 3)])
    taken = [queue.take(costly=True, order=by_column) for _ in range(3)]
    assert [one and one.block.x for one in taken] == [1, 3, None]
    queue.finish(taken[0], np.zeros(1))
    assert queue.take(costly=True, order=by_column).block.x == 5
    assert queue.take(costly=False, order=by_column) is None


def test_cheap_blocks_do_not_wait_for_costly_ones():
    model, image, queue = Fake(), Fake(costly=False), BlockQueue(1000)
    queue.ask("tile", [key(model, 0), key(model, 1), key(model, 2), key(image, 9)])
    assert queue.take(costly=True, order=by_column) and queue.take(costly=True, order=by_column)
    assert queue.take(costly=True, order=by_column) is None
    assert queue.take(costly=False, order=by_column).block.x == 9


def test_a_block_that_two_wait_for_runs_once():
    model, queue = Fake(), BlockQueue(1000)
    one = key(model, 0)
    queue.ask("a", [one])
    queue.ask("b", [one])
    assert queue.waiting == 1 and queue.take(costly=True, order=by_column) == one
    assert queue.take(costly=True, order=by_column) is None
    queue.let_go("a", [one])
    assert queue.wanted(one)
    assert queue.finish(one, np.ones(3)) == {"b"}
    assert queue.kept(one).tolist() == [1, 1, 1] and queue.computed == 1 and not queue.waiting


def test_what_nobody_waits_for_is_dropped():
    model, queue = Fake(), BlockQueue(1000)
    one, two = key(model, 0), key(model, 1)
    queue.ask("a", [one, two])
    assert queue.take(costly=True, order=by_column) == one
    queue.let_go("a", [one, two])
    assert not queue.wanted(one) and queue.take(costly=True, order=by_column) is None
    queue.ask("b", [one])  # comes back before the running one has noticed
    queue.stop(one)
    assert queue.take(costly=True, order=by_column) == one
    assert queue.fail(one) == {"b"} and queue.waiting == 0


def test_few_bytes_are_kept_those_used_lately_and_those_that_cost_a_model():
    model, image, queue = Fake(), Fake(costly=False), BlockQueue(40)
    for index in range(4):
        queue.finish(key(model, index), np.zeros(10, np.uint8))
    assert queue.kept(key(model, 0)) is not None  # used lately
    queue.finish(key(model, 4), np.zeros(10, np.uint8))
    assert queue.kept(key(model, 1)) is None and queue.kept(key(model, 0)) is not None
    queue.finish(key(image, 5), np.zeros(10, np.uint8))
    assert queue.kept(key(image, 5)) is None and queue.kept(key(model, 2)) is not None
    queue.finish(key(model, 6), np.zeros(1000, np.uint8))
    assert queue.kept(key(model, 6)) is None


def test_finished_blocks_of_an_area_are_found_and_forgotten():
    model, other, queue = Fake(), Fake(), BlockQueue(1000)
    for index in range(4):
        queue.finish(key(model, index), np.full(1, index))
    queue.finish(key(other, 1), np.zeros(1))
    found = dict(queue.kept_of(model, Window(0, 1, 1, 2)))
    assert sorted(block.x for block in found) == [1, 2]
    queue.forget(model)
    assert queue.kept(key(model, 1)) is None and queue.kept(key(other, 1)) is not None


def test_alone_nothing_runs_beside_what_is_waited_for():
    queue, blocks = BlockQueue(1000), Fake()
    keys = [key(blocks, index) for index in range(3)]
    queue.ask("me", keys)
    first = queue.take(costly=True, order=by_column, alone=True)
    assert queue.take(costly=True, order=by_column, alone=True) is None
    queue.let_go("me", [first])  # it runs on, and nobody wants it
    assert queue.take(costly=True, order=by_column, alone=True) in keys[1:]
