"""The demo's story: a family's case lives and is forgotten, told step by step while it happens."""
