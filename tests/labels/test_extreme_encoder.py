"""The dual encoder reads dense and sparse rows alike, scores unseen labels, and caches exactly."""

import pytest
import torch
from l2s.data import Bags, bags, label_retrieval
from l2s.labels.extreme_labels import DualEncoder, Tower, cached_backward, decoupled_softmax
from l2s.metrics import recall_at_k
from torch import nn

from tests.labels.extreme_cases import close, seeded


def dense_rows(rows=7, width=11, seed=0):
    values = torch.randn(rows, width, generator=seeded(seed))
    return values * (torch.rand(rows, width, generator=seeded(seed + 1)) < 0.3)


def sparse_rows(dense):
    lists = torch.full(dense.shape, -1)
    values = torch.zeros(dense.shape)
    for row, own in enumerate(dense):
        columns = own.nonzero().flatten()
        lists[row, : len(columns)], values[row, : len(columns)] = columns, own[columns]
    return bags(lists, width=dense.shape[1], values=values)


def csr(rows):
    return torch.sparse_csr_tensor(
        rows.offsets, rows.columns, rows.values, (len(rows), rows.width), check_invariants=False
    )


def gradients(model):
    return [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_dense_and_sparse_rows_have_one_embedding_and_one_gradient(hidden):
    dense = dense_rows()
    dense[3] = 0  # a row without entries
    sparse = sparse_rows(dense)
    torch.manual_seed(0)
    tower = Tower(11, 3, hidden=hidden)
    found = []
    for rows in (dense, sparse, csr(sparse)):
        tower.zero_grad()
        embeddings = tower(rows)
        embeddings.square().sum().backward()
        found.append((embeddings.detach(), gradients(tower)))
    for other in found[1:]:
        close(other[0], found[0][0], 1e-5, 1e-6)
        for ours, theirs in zip(other[1], found[0][1], strict=True):
            close(ours, theirs, 1e-5, 1e-6)


def test_bags_choose_rows_as_a_matrix_does():
    dense = dense_rows()
    rows = sparse_rows(dense)
    mask = torch.tensor([True, False] * 3 + [True])
    for choice in (slice(2, 5), slice(None, None, -1) and slice(0, 0), [6, 0, 0], mask):
        assert isinstance(rows[choice], Bags)
        assert torch.equal(rows[choice].dense(), dense[choice])
    with pytest.raises(TypeError, match=r"is one row. Pass bags\[2:2 \+ 1\]"):
        rows[2]
    with pytest.raises(ValueError, match="columns from 0 to 3.*from 0 to 2"):
        bags(torch.tensor([[0, 3]]), width=3)


def test_scores_are_cosines_over_the_temperature():
    model = DualEncoder(11, label_features=6, dim=3, temperature=0.1)
    queries, labels = dense_rows(), dense_rows(9, 6)
    q, y = model.query_tower(queries), model.label_tower(labels)
    cosines = torch.nn.functional.cosine_similarity(q[:, None], y, dim=2)
    close(model(queries, labels), cosines / 0.1, 1e-4, 1e-4)
    free = DualEncoder(11, label_features=6, dim=3, temperature=1.0, normalize=False, bias=-2.0)
    close(
        free(queries, labels),
        free.query_tower(queries) @ free.label_tower(labels).T - 2,
        1e-4,
        1e-5,
    )


def test_shared_towers_share_and_free_labels_have_one_vector_each():
    shared = DualEncoder(11, shared=True, dim=3)
    separate = DualEncoder(11, label_features=11, dim=3)
    count = {m: sum(p.numel() for p in m.parameters()) for m in (shared, separate)}
    assert 2 * count[shared] == count[separate]
    rows = dense_rows()
    close(shared.embed_queries(rows), shared.embed_labels(rows), 0, 0)
    free = DualEncoder(11, free_labels=4, dim=3)
    assert free(rows).shape == (7, 4)
    chosen = torch.tensor([3, 1])
    close(free(rows, chosen), free(rows)[:, chosen], 1e-6, 1e-6)


def test_labels_that_training_never_saw_are_found_from_their_features():
    problem = label_retrieval(400, 300, labels=120, unseen=30, generator=seeded())
    torch.manual_seed(0)
    model = DualEncoder(10, label_features=30, dim=16)
    features = problem.label_features
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        scores = model(problem.train.features, features[problem.seen])
        decoupled_softmax(scores, problem.train.positives[:, problem.seen]).backward()
        optimizer.step()
    with torch.no_grad():
        scores = model(problem.test.features, features)[:, ~problem.seen]
    positives = problem.test.positives[:, ~problem.seen]
    asked = positives.any(dim=1)
    found = recall_at_k(scores[asked], positives[asked], k=5)
    by_chance = 5 / 30
    assert found > 2.5 * by_chance


def two_sided(model, loss):
    queries, labels = dense_rows(20, 11), dense_rows(13, 6, seed=3)
    positives = torch.arange(20)[:, None] % 13

    def of_embeddings(q, y):
        return loss(model.score(q, y), positives)

    return (queries, labels), of_embeddings


def in_chunks(encoder, rows, size):
    return torch.cat([encoder(rows[i : i + size]) for i in range(0, len(rows), size)])


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("chunk_size", [1, 6, 100])
@pytest.mark.parametrize("shared", [False, True])
def test_cached_gradients_are_those_of_the_whole_batch(dropout, chunk_size, shared):
    torch.manual_seed(0)
    sides = {"shared": True} if shared else {"label_features": 6}
    model = DualEncoder(11, dim=4, dropout=dropout, bias=-1.0, **sides)
    (queries, labels), loss = two_sided(model, decoupled_softmax)
    labels = dense_rows(13, 11, seed=3) if shared else labels
    encoders = [model.embed_queries, model.embed_labels]
    torch.manual_seed(5)
    direct = loss(
        in_chunks(encoders[0], queries, chunk_size), in_chunks(encoders[1], labels, chunk_size)
    )
    direct.backward()
    state = torch.get_rng_state()
    expected = gradients(model)
    model.zero_grad()
    torch.manual_seed(5)
    value = cached_backward(encoders, [queries, labels], loss, chunk_size=chunk_size)
    assert torch.equal(torch.get_rng_state(), state)
    close(value, direct.detach(), 1e-6, 1e-6)
    for ours, theirs in zip(gradients(model), expected, strict=True):
        close(ours, theirs, 1e-5, 1e-6)


def test_dropout_matters_in_that_test():
    torch.manual_seed(0)
    model = DualEncoder(11, label_features=6, dim=4, dropout=0.4)
    assert not torch.equal(model.embed_queries(dense_rows()), model.embed_queries(dense_rows()))


def test_caching_takes_bags_and_adds_to_gradients_that_are_there():
    torch.manual_seed(0)
    model = DualEncoder(11, label_features=6, dim=4)
    (queries, labels), loss = two_sided(model, decoupled_softmax)
    inputs = [sparse_rows(queries), sparse_rows(labels)]
    encoders = [model.embed_queries, model.embed_labels]
    cached_backward(encoders, inputs, loss, chunk_size=4)
    once = gradients(model)
    cached_backward(encoders, inputs, loss, chunk_size=4)
    for twice, single in zip(gradients(model), once, strict=True):
        close(twice, 2 * single, 1e-5, 1e-7)


def test_one_chunk_at_a_time_has_a_graph():
    alive = []

    class Spy(nn.Linear):
        def forward(self, rows):
            if torch.is_grad_enabled():
                alive.append(len(rows))
            return super().forward(rows)

    spy = Spy(3, 2)
    rows = torch.randn(10, 3, generator=seeded())
    cached_backward([spy], [rows], lambda z: z.logsumexp(0).sum(), chunk_size=4)
    assert alive == [4, 4, 2]
