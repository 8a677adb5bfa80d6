"""What users write and what the operator records: pydantic models, and the CRDs made from them.

`v1alpha1/` holds the kinds, `documents/` what operator, steps and servers hand one another
through the artifact store. `openapi.py` and `crd.py` turn the kinds into `crds/*.yaml`.
"""
