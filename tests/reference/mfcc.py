"""Kaldi's MFCCs with deltas, one window, one coefficient at a time: the recipe of HuBERT's first targets."""

import numpy as np

from tests.reference.log_mel import _mel


def mfcc(audio, rate=16000):
    """[N, 39]: 13 liftered cepstra of 23 mels on samples in [-1, 1], deltas, double deltas."""
    rows = [_cepstra(np.asarray(audio[i : i + 400], np.float64), rate) for i in range(0, len(audio) - 399, 160)]
    first = _deltas(rows)
    return np.concatenate([np.array(rows), first, _deltas(first)], axis=1)


def _cepstra(samples, rate):
    samples = samples - samples.mean()
    emphasised = [samples[0] - 0.97 * samples[0]] + [samples[i] - 0.97 * samples[i - 1] for i in range(1, 400)]
    window = [(0.5 - 0.5 * np.cos(2 * np.pi * i / 399)) ** 0.85 for i in range(400)]
    power = np.abs(np.fft.fft(np.array(emphasised) * np.array(window), 512)) ** 2
    low, high = _mel(20), _mel(rate / 2)
    mels = []
    for m in range(23):
        left, centre, right = (low + (high - low) * (m + i) / 24 for i in range(3))
        energy = 0.0
        for bin_ in range(256):
            mel = _mel(bin_ * rate / 512)
            energy += power[bin_] * max(0.0, min((mel - left) / (centre - left), (right - mel) / (right - centre)))
        mels.append(np.log(max(energy, np.finfo(np.float32).eps)))
    cepstra = []
    for k in range(13):
        scale = np.sqrt((1 if k == 0 else 2) / 23)
        value = scale * sum(mels[m] * np.cos(np.pi * k * (m + 0.5) / 23) for m in range(23))
        cepstra.append(value * (1 + 11 * np.sin(np.pi * k / 22)))
    return cepstra


def _deltas(rows):
    rows = np.array(rows)
    at = lambda i: rows[min(max(i, 0), len(rows) - 1)]  # noqa: E731
    return np.array([(at(i + 1) - at(i - 1) + 2 * (at(i + 2) - at(i - 2))) / 10 for i in range(len(rows))])
