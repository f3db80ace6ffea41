"""Normalisation, tokenizers and CTC decoding: plain Python, free of torch."""
