"""The station: a line at work, with its record, its page and its OPC UA server."""
