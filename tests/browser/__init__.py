"""The console and the browser client, in a real Chromium against a real hub."""
