"""Tidemill keeps a machine-learning model current: data, training, rollout, watching, and again."""

__version__ = "0.1.0"
