"""One folder a pipeline: `nodes.py` holds its steps, `pipeline.py` wires them."""
