"""Scenarios x clients, one runner, one report. See docs/performance.md."""
