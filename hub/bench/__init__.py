"""``hub bench``: how fast a running hub is, seen from outside, and whether each event arrived once and in order.

It knows the wire protocol (docs/protocol.md) and nothing of the hub's insides: what it measures may be any deployment.
One process publishes, others hold the subscribers (``crew``, ``worker``), so that neither is measured with the other.
"""
