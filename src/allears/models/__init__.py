"""Front ends, encoders, heads, and maps of their weights to and from transformers."""
