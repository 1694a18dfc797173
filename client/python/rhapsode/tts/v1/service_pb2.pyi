from rhapsode.tts.v1 import session_pb2 as _session_pb2
from rhapsode.tts.v1 import synthesis_pb2 as _synthesis_pb2
from rhapsode.tts.v1 import voice_pb2 as _voice_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
