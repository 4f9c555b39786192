"""What a running workflow needs beside its jobs: a warm process, the time left, and care for finished reports."""
