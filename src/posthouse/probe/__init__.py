"""Active health checks: backends are asked from time to time, and what they answer decides who gets requests."""
