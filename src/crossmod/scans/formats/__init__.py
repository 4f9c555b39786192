"""One reader per file format; :mod:`crossmod.scans.files` chooses among them."""
