"""Log-mels, one window and one filter at a time, in float64: slow and obvious."""

import numpy as np


def log_mel(audio, stack, mels=80, rate=16000):
    """Normalised, stacked log-mels [F, stack * mels] of one clip (Kaldi's fbank with a Povey window, 16-bit scale)."""
    rows = [
        _window(np.asarray(audio[i : i + 400], np.float64) * 32768, mels, rate) for i in range(0, len(audio) - 399, 160)
    ]
    x = np.array(rows)
    x = (x - x.mean(0)) / np.sqrt(x.var(0, ddof=1) + 1e-7)
    frames = []
    for first in range(0, len(x), stack):
        group = x[first : first + stack]
        if len(group) >= 2:
            frames.append(np.concatenate([*group, np.zeros((stack - len(group)) * mels)], axis=None))
    return np.array(frames)


def _window(samples, mels, rate):
    samples = samples - samples.mean()
    emphasised = [samples[0] - 0.97 * samples[0]] + [samples[i] - 0.97 * samples[i - 1] for i in range(1, 400)]
    hann = [0.5 - 0.5 * np.cos(2 * np.pi * i / 399) for i in range(400)]
    windowed = np.array(emphasised) * np.array(hann) ** 0.85
    power = np.abs(np.fft.fft(windowed, 512)[:257]) ** 2
    return [np.log(max(np.finfo(np.float32).eps, power @ _triangle(m, mels, rate))) for m in range(mels)]


def _triangle(m, mels, rate):
    low, high = _mel(20), _mel(rate / 2)
    left, centre, right = (low + (high - low) * (m + i) / (mels + 1) for i in range(3))
    weights = []
    for bin_ in range(257):
        mel = _mel(bin_ * rate / 512)
        up, down = (mel - left) / (centre - left), (right - mel) / (right - centre)
        weights.append(max(0.0, min(up, down)))
    return np.array(weights)


def _mel(hertz):
    return 1127 * np.log(1 + hertz / 700)
