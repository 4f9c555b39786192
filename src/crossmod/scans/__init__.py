"""Scans: voxels and where they lie, read from files, compared, resampled and looked at."""
