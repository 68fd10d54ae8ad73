"""What OpenAPI promises holds for whatever may be sent: schemathesis makes it up, from a seed, for a while."""
