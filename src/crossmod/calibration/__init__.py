"""Simulated patients beside real scans and published measurements."""
