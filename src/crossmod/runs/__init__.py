"""The MLflow store: where it lies, who writes to it, and the UI that shows it."""
