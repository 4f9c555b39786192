"""Anatomy: which structures there are, on which side they lie, and whether a label map is plausible."""
