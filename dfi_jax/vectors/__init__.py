"""Attribute vectors: estimated from a selection of images, combined, saved, and shipped."""
