"""The Autobahn test suite against the classes the hub serves WebSockets with; ``make autobahn``."""
