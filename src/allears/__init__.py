"""allears: from a pile of audio to an audited, pretrained and fine-tuned listening model."""

__version__ = "0.1.0"
