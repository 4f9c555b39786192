"""Report: tables → figures, notebooks, one HTML page."""
