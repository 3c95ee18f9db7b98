"""The operators' page: what the line does now, what it did, and what people may ask of it."""
