"""From a CSV to a batch, and from results to people. Installs without torch."""
