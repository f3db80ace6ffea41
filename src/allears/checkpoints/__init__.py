"""All reading and writing of weights: safetensors and `weights_only`, never an open pickle."""
