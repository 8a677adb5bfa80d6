"""The built-in model server: a bundle in, Open Inference Protocol v2 out.

`fetch` brings a bundle into the pod and `__main__` serves it. A request passes `http` (bytes),
`protocol` (tensors), `model` (ONNX Runtime), `counters` (what the operator judges drift by) and
`requestlog` (what is kept). Nothing here knows Kubernetes or the operator; of the rest of Tidemill
only `api` is used.
"""
