"""What users write: the six kinds as pydantic models. crds/ is generated from them."""
