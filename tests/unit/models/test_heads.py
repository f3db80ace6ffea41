import pytest
import torch

from allears.models.heads import CTCHead, MeanPoolLinear


def states():
    return torch.randn(3, 11, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([11, 4, 7])


def test_padding_does_not_reach_a_class():
    x, frames = states()
    head = MeanPoolLinear(8, 5)
    expected = torch.stack([head.linear(row[:count].mean(0)) for row, count in zip(x, frames, strict=True)])
    torch.testing.assert_close(head(x, frames), expected)
    assert head(x, torch.tensor([0, 4, 7])).isfinite().all()


@pytest.mark.parametrize("kind", ["linear", "conv", "bilstm"])
def test_padding_does_not_reach_a_symbol(kind):
    x, frames = states()
    head = CTCHead(8, 6, kind, hidden=5)
    together = head(x, frames)
    assert together.shape == (3, 11, 6)
    torch.testing.assert_close(together.exp().sum(-1), torch.ones(3, 11))
    for row, count in enumerate(frames.tolist()):
        alone = head(x[row : row + 1, :count], frames[row : row + 1])
        torch.testing.assert_close(together[row, :count], alone[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["linear", "conv", "bilstm"])
def test_a_ctc_head_learns_a_short_text(kind):
    x, frames = states()
    head = CTCHead(8, 6, kind, hidden=16, seed=1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.05)
    texts, lengths = torch.tensor([[1, 2, 3], [4, 5, 0], [2, 1, 0]]), torch.tensor([3, 2, 2])
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.ctc_loss(head(x, frames).transpose(0, 1), texts, frames, lengths)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_weights_depend_on_the_seed_alone():
    heads = [CTCHead(8, 6, "bilstm", seed=seed).state_dict() for seed in (3, 3, 4)]
    assert all(torch.equal(value, heads[1][name]) for name, value in heads[0].items())
    assert not torch.equal(heads[0]["linear.weight"], heads[2]["linear.weight"])
