"""Programs that run in pipeline pods: JSON arguments in, a result document out, no kfp but in one.

`refresh`, `train` and `evaluate` are the three jobs; `run_pipeline` runs a compiled pipeline of
them (or of a user's own components) in one pod. A step that cannot go on raises `StepError`,
which becomes a `results.Failure` at the result's place; nothing else is promised to be caught.
"""
