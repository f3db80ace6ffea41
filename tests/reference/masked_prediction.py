"""The losses of the masked objectives, one frame and one class at a time, in plain float64."""

import math


def cosine_cross_entropy(frames, units, targets, temperature):
    """Summed −log softmax(cosine / temperature) of the target (HuBERT, equation 3); frames and units are lists."""
    total = 0.0
    for frame, target in zip(frames, targets, strict=True):
        logits = [_cosine(frame, unit) / temperature for unit in units]
        total -= logits[target] - _log_sum_exp(logits)
    return total


def codebook_cross_entropy(logits, targets, codes):
    """Mean over codebooks of the summed −log softmax: logits [M][K · V], targets [M][K]."""
    total = 0.0
    for row, wanted in zip(logits, targets, strict=True):
        for book, code in enumerate(wanted):
            part = row[book * codes : (book + 1) * codes]
            total -= part[code] - _log_sum_exp(part)
    return total / len(targets[0])


def _cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def _log_sum_exp(values):
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))
