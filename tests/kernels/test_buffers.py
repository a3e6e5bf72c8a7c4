"""Memory comes back when nothing lives on it, and not before."""

import gc
import threading

import pytest
import torch
from l2s.kernels import buffers

LIKE = torch.ones(1)
NUMBERS = 10_000


@pytest.fixture(autouse=True)
def empty_stock():
    buffers.clear()
    yield
    buffers.clear()


def test_memory_is_used_again_after_its_tensor_is_gone():
    address = (first := buffers.take(NUMBERS, like=LIKE)).data_ptr()
    del first
    assert buffers.take(NUMBERS, like=LIKE).data_ptr() == address


def test_live_tensors_share_no_memory():
    first, second = buffers.take(NUMBERS, like=LIKE), buffers.take(NUMBERS, like=LIKE)
    first.fill_(1)
    second.fill_(2)
    assert first.eq(1).all()


def test_a_view_or_a_saved_tensor_keeps_the_memory():
    first = buffers.take(NUMBERS, like=LIKE)
    view = first.view(100, 100)[3:5].fill_(7)
    del first
    buffers.take(NUMBERS, like=LIKE).fill_(0)
    assert view.eq(7).all()

    x = torch.ones(NUMBERS, requires_grad=True)
    y = x * buffers.take(NUMBERS, like=LIKE).fill_(3)  # autograd alone holds the second factor
    buffers.take(NUMBERS, like=LIKE).fill_(0)
    y.sum().backward()
    assert x.grad.eq(3).all()


def test_sizes_and_dtypes():
    assert buffers.take(3, like=torch.ones(1, dtype=torch.float64)).dtype == torch.float64
    assert buffers.take(0, like=LIKE).shape == (0,)
    assert buffers.take(4, like=torch.ones(1, device="meta")).is_meta


def test_a_small_demand_takes_no_large_memory():
    address = (first := buffers.take(NUMBERS, like=LIKE)).data_ptr()
    del first
    assert buffers.take(NUMBERS // 3, like=LIKE).data_ptr() != address
    assert buffers.take(NUMBERS - 1, like=LIKE).data_ptr() == address


def test_the_stock_is_limited(monkeypatch):
    monkeypatch.setattr(buffers, "_LIMIT", 4 * NUMBERS)
    loans = [buffers.take(NUMBERS, like=LIKE) for _ in range(3)]
    del loans
    assert sum(memory.size for memory in buffers._stock.values()) == 4 * NUMBERS
    assert buffers.take(NUMBERS + 1, like=LIKE).shape == (NUMBERS + 1,)  # fresh, never in stock


def test_the_garbage_collector_may_give_back_at_any_moment():
    class Cycle:
        def __init__(self):
            self.me, self.memory = self, buffers.take(NUMBERS, like=LIKE)

    before = gc.get_threshold()
    gc.set_threshold(1)  # collect at nearly every allocation, also inside `take`
    try:
        for _ in range(50):
            Cycle()
    finally:
        gc.set_threshold(*before)


def test_threads_get_memory_of_their_own():
    wrong = []

    def work(number):
        for _ in range(200):
            memory = buffers.take(NUMBERS, like=LIKE).fill_(number)
            if not memory.eq(number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
