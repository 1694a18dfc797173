"""Packing: float samples at the voice's rate to the bytes a caller asked for.

`encode.encoder_for(format, native_rate)` is the way in; see there for what is offered.
"""
