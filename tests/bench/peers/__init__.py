"""Programs that run in environments of their own: each imports its peer and no code of ours."""
