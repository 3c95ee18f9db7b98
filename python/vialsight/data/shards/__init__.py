"""TFRecord shards: index, plan, writing, reading."""
