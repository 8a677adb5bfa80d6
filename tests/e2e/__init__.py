"""The whole loop on a whole cluster."""
