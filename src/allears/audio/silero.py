"""How probably each 32 ms of a recording hold speech: the forward pass of Silero VAD (16 kHz, MIT), in NumPy.

The network and its weights are those of the `silero-vad` package; `tests/unit/audio/test_silero.py` compares the two.
The package's own runtimes do not suit a worker that measures short clips: torch takes seconds to start, ONNX Runtime
takes four times as long for a clip. Here the frames of all chunks go through each layer as one matrix product.

Legend: `T` samples, `N` chunks of 512 samples (32 ms), `F` the 4 frames of a chunk, `K` frequency bins, `D` width 128.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import distribution
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

RATE_HZ = 16_000
CHUNK = 512
CONTEXT = 64  # samples of the chunk before, heard again
WINDOW = 256
HOP = 128
WIDTH = 128

Floats = NDArray[np.float32]


class State(NamedTuple):
    """What the network remembers from one call to the next: the last samples [CONTEXT], hidden and cell state [D]."""

    context_T: Floats
    hidden_D: Floats
    cell_D: Floats


START = State(np.zeros(CONTEXT, np.float32), np.zeros(WIDTH, np.float32), np.zeros(WIDTH, np.float32))


class _Weights(NamedTuple):
    window_T: Floats
    layers: tuple[tuple[Floats, Floats], ...]  # (matrix [inputs, outputs], bias [outputs]) of the four convolutions
    input_gates: tuple[Floats, Floats]
    hidden_gates: Floats
    output: tuple[Floats, Floats]


def probabilities(audio_T: Floats, state: State = START) -> tuple[Floats, State]:
    """Probability [N] of speech in each chunk of `audio_T` (16 kHz), and the state to go on with.

    A last chunk that is not full is filled with zeros: only the end of a recording should be such.
    """
    chunks = -(-len(audio_T) // CHUNK)
    if not chunks:
        return np.zeros(0, np.float32), state
    padded_T = np.zeros(CONTEXT + chunks * CHUNK, np.float32)
    padded_T[:CONTEXT] = state.context_T
    padded_T[CONTEXT : CONTEXT + len(audio_T)] = audio_T
    weights = _weights()
    embedded_ND = _embed(padded_T, weights)
    matrix, bias = weights.input_gates
    hidden_ND, cell_D = _lstm(embedded_ND @ matrix + bias, weights.hidden_gates, state)
    matrix, bias = weights.output
    logits_N = (np.maximum(hidden_ND, 0) @ matrix + bias)[:, 0]
    return 1 / (1 + np.exp(-logits_N)), State(padded_T[-CONTEXT:], hidden_ND[-1], cell_D)


def _embed(padded_T: Floats, weights: _Weights) -> Floats:
    """[N, D] from the samples of N chunks and the context before the first."""
    heard_NT = np.lib.stride_tricks.sliding_window_view(padded_T, CONTEXT + CHUNK)[::CHUNK]
    mirrored_NT = np.concatenate((heard_NT, heard_NT[:, -2 : -2 - WINDOW // 4 : -1]), axis=1)
    frames_NFT = np.lib.stride_tricks.sliding_window_view(mirrored_NT, WINDOW, axis=1)[:, ::HOP]
    bins_NFK = scipy.fft.rfft(frames_NFT * weights.window_T)
    x = np.sqrt(bins_NFK.real**2 + bins_NFK.imag**2)
    for (matrix, bias), stride in zip(weights.layers, (1, 2, 2, 1), strict=True):
        x = _convolve(x, matrix, bias, stride)
    embedded_ND: Floats = x[:, 0]
    return embedded_ND


def _convolve(x_NFC: Floats, matrix: Floats, bias: Floats, stride: int) -> Floats:
    """A convolution of width 3 over the frames, zeros around them, and a rectifier: one product for all chunks."""
    chunks, frames, channels = x_NFC.shape
    padded = np.zeros((chunks, frames + 2, channels), np.float32)
    padded[:, 1:-1] = x_NFC
    starts = range(0, frames, stride)
    columns = np.concatenate([padded[:, f : f + 3].reshape(chunks, 1, -1) for f in starts], axis=1)
    out = columns.reshape(chunks * len(starts), -1) @ matrix
    out += bias
    return np.maximum(out, 0, out=out).reshape(chunks, len(starts), -1)


def _lstm(gates_NG: Floats, hidden_gates: Floats, state: State) -> tuple[Floats, Floats]:
    """Hidden states [N, D] and the last cell state [D]; the weights' rows stand so that one tanh serves all gates.

    sigmoid(x) = (1 + tanh(x / 2)) / 2: input, forget and output gate were halved in `_weights`.
    """
    hidden_ND = np.empty((len(gates_NG), WIDTH), np.float32)
    hidden_D, cell_D = state.hidden_D, state.cell_D.copy()
    turned_G, half = np.empty(4 * WIDTH, np.float32), np.float32(0.5)
    opened_D, kept_D, shown_D, new_D = turned_G.reshape(4, WIDTH)
    for n, gates_G in enumerate(gates_NG):  # in place: a step takes 10 microseconds, half of them calls
        np.dot(hidden_gates, hidden_D, out=turned_G)
        turned_G += gates_G
        np.tanh(turned_G, out=turned_G)
        turned_G[: 3 * WIDTH] *= half
        turned_G[: 3 * WIDTH] += half
        new_D *= opened_D
        cell_D *= kept_D
        cell_D += new_D
        hidden_D = np.tanh(cell_D, out=hidden_ND[n])
        hidden_D *= shown_D
    return hidden_ND, cell_D


@lru_cache(maxsize=1)
def _weights() -> _Weights:
    """Read from the installed package, which is not imported: it would import torch."""
    from safetensors.numpy import load_file

    tensors = load_file(str(distribution("silero-vad").locate_file("silero_vad/data/silero_vad_16k.safetensors")))
    layers = tuple(
        (tensors[f"conv{i}.weight"].transpose(2, 1, 0).reshape(-1, len(tensors[f"conv{i}.bias"])).copy(),
         tensors[f"conv{i}.bias"]) for i in (1, 2, 3, 4)
    )  # fmt: skip
    order = np.r_[0 : 2 * WIDTH, 3 * WIDTH : 4 * WIDTH, 2 * WIDTH : 3 * WIDTH]  # input, forget, output, cell
    scale = np.repeat(np.array([0.5, 1.0], np.float32), [3 * WIDTH, WIDTH])
    bias = (tensors["lstm_cell.bias_ih"] + tensors["lstm_cell.bias_hh"])[order] * scale
    return _Weights(
        window_T=tensors["stft_conv.weight"][0, 0],  # the cosine of 0 Hz: the window itself
        layers=layers,
        input_gates=((tensors["lstm_cell.weight_ih"][order] * scale[:, None]).T.copy(), bias),
        hidden_gates=tensors["lstm_cell.weight_hh"][order] * scale[:, None],
        output=(tensors["final_conv.weight"][:, :, 0].T.copy(), tensors["final_conv.bias"]),
    )
