"""The ways in and out: HTTP, WebSocket."""
