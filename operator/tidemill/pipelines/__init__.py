"""Kubeflow pipelines: wiring only. What the components do is in `tidemill.steps`.

`python -m tidemill.pipelines compile` writes `compiled/*.yaml`, which is committed: the operator
and the runner read that, never these functions. `publish_result` is for users' own pipelines.
"""
