"""Tests on the real programs: OpenTelemetry Collector, Jaeger, Prometheus, on free loopback ports."""
