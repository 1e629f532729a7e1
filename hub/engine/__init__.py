"""The engines: each keeps the log and carries it to the nodes. ``base`` is the contract."""
