"""Bad inputs, built from simulated patients: what a user hands over by mistake, by accident or on purpose."""
