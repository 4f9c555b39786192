"""A study's design: its configuration, what it allows, and the arms that follow from it."""
