"""Tests of pure decisions: tables, no network, no sleep."""
