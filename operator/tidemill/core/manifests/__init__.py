"""Builders of child objects: values in, whole bodies out, no choices."""
