from __future__ import annotations

from importlib.metadata import distribution

import numpy as np
import pytest

from allears.audio.silero import CHUNK, CONTEXT, START, State, probabilities
from tests.real import REAL, needs_real


def recording(chunks: int, seed: int = 0) -> np.ndarray:
    """Noise whose level and colour change, so that the network has something to say."""
    rng = np.random.default_rng(seed)
    audio = np.convolve(rng.normal(0, 0.1, chunks * CHUNK), np.ones(8) / 8, "same")
    return (audio * np.repeat(rng.uniform(0, 1, chunks), CHUNK)).astype(np.float32)


def torch_probabilities(audio: np.ndarray) -> np.ndarray:
    """The published layers in torch, chunk by chunk."""
    import torch
    from safetensors.torch import load_file
    from torch.nn import functional as f

    at = distribution("silero-vad").locate_file("silero_vad/data/silero_vad_16k.safetensors")
    weights = load_file(str(at))
    cell = torch.nn.LSTMCell(128, 128)
    cell.load_state_dict({key.split(".")[1]: value for key, value in weights.items() if key.startswith("lstm_cell")})
    padded, state, found = torch.from_numpy(np.r_[np.zeros(CONTEXT, np.float32), audio]), None, []
    with torch.no_grad():
        for first in range(0, len(audio), CHUNK):
            x = f.pad(padded[None, None, first : first + CONTEXT + CHUNK], (0, 64), "reflect")
            x = f.conv1d(x, weights["stft_conv.weight"], stride=128)
            x = torch.sqrt(x[:, :129] ** 2 + x[:, 129:] ** 2)
            for number, stride in ((1, 1), (2, 2), (3, 2), (4, 1)):
                layer = weights[f"conv{number}.weight"], weights[f"conv{number}.bias"]
                x = torch.relu(f.conv1d(x, *layer, stride=stride, padding=1))
            state = cell(x[:, :, 0], state)
            logit = f.conv1d(torch.relu(state[0])[:, :, None], weights["final_conv.weight"], weights["final_conv.bias"])
            found.append(torch.sigmoid(logit).item())
    return np.array(found)


def test_it_is_the_published_network() -> None:
    audio = recording(60)
    found = probabilities(audio)[0]
    assert np.ptp(found) > 1e-3
    np.testing.assert_allclose(found, torch_probabilities(audio), atol=2e-5)


@pytest.mark.parametrize("cut", [1, 7, 39])
def test_going_on_from_a_state_is_the_same_as_not_stopping(cut: int) -> None:
    audio = recording(40)
    whole, end = probabilities(audio)
    first, state = probabilities(audio[: cut * CHUNK])
    second, again = probabilities(audio[cut * CHUNK :], state)
    np.testing.assert_allclose(np.concatenate((first, second)), whole, atol=1e-6)
    for one, other in zip(end, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_nothing_is_no_chunk_and_leaves_the_state() -> None:
    state = State(*(each + 1 for each in START))
    found, after = probabilities(np.zeros(0, np.float32), state)
    assert len(found) == 0
    assert all(np.array_equal(one, other) for one, other in zip(state, after, strict=True))


@needs_real
def test_it_decides_as_the_package_does() -> None:
    """The package's TorchScript was trained further than the weights it publishes: nearly the same decisions."""
    import soundfile
    import torch
    from silero_vad import load_silero_vad

    model, same = load_silero_vad(), []
    for file in sorted((REAL / "speechocean762" / "audio").rglob("*.*"))[::250]:
        audio = soundfile.read(file, dtype="float32")[0]
        audio = audio[: len(audio) // CHUNK * CHUNK]
        model.reset_states()
        theirs = [model(torch.from_numpy(chunk), 16_000).item() for chunk in audio.reshape(-1, CHUNK)]
        same.append((np.array(theirs) >= 0.5) == (probabilities(audio)[0] >= 0.5))
    assert len(same) == 10
    assert np.mean(np.concatenate(same)) > 0.95
