"""Audio: guarded ffmpeg, decoding, the arithmetic of seconds, samples and frames."""
