"""What a user writes: YAML groups, the tree they compose into, and the fingerprint of a run.

Start at `configs.compose.compose`; `configs.schema.RunSpec` is what comes out.
"""
