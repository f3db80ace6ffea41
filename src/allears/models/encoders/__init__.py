"""Encoders: features of a clip in, one vector a frame out."""
