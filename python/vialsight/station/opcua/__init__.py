"""OPC UA of a station, after OPC 40100-1 (Machine Vision): what it shows and may be told."""
