"""Reproducible studies of segmentation across CT and MR."""
