"""The encoders of wav2vec 2.0 and HuBERT, which take the waveform itself: the model, and its form in transformers."""
