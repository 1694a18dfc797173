"""Text to speech: the wire contract, one package for each version."""
