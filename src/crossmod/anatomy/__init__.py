"""Anatomy: which structures there are, which side they lie on, and whether a label map shows what a patient can have."""
