"""Tests of what a contract expects of the data."""
