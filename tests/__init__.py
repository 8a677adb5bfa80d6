"""Tests of Tidemill, and the clusters they run on."""
