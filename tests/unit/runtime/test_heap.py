"""What a service knows at its start is not looked through again while it works."""

import gc
from collections.abc import Iterator

import pytest

from nexus_common.runtime import heap


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_what_lives_at_the_start_is_left_out_of_later_collections() -> None:
    known = [[number] for number in range(1_000)]
    heap.settle()
    looked_through = {id(each) for each in gc.get_objects()}
    assert not looked_through & {id(each) for each in known}


def test_a_turns_work_begins_no_collection() -> None:
    heap.settle()
    before = [generation["collections"] for generation in gc.get_stats()]
    work = [[number] for number in range(heap.YOUNG // 2)]
    assert [generation["collections"] for generation in gc.get_stats()] == before
    assert len(work) == heap.YOUNG // 2


def test_what_becomes_garbage_later_is_still_found() -> None:
    heap.settle()
    circle: list[object] = []
    circle.append(circle)
    lost = id(circle)
    del circle
    assert gc.collect() >= 1
    assert lost not in {id(each) for each in gc.get_objects()}
