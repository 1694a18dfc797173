"""Speech from text over gRPC, as it is spoken."""
