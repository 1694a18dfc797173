"""Version 1 of the wire contract, generated from protos/rhapsode/tts/v1 by scripts/generate_protos.py.

`service_pb2_grpc` holds the stub and the servicer; `synthesis_pb2`, `session_pb2`, `audio_pb2` and
`voice_pb2` hold the messages. Nothing is written by hand below this package.
"""
