"""Networks: built from the config, stored without pickles."""
