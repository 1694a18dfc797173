from rhapsode.tts.v1 import voice_pb2 as _voice_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateVoiceRequest(_message.Message):
    __slots__ = ("config", "audio")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    config: CloneConfig
    audio: bytes
    def __init__(self, config: _Optional[_Union[CloneConfig, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class CloneConfig(_message.Message):
    __slots__ = ("name", "consent", "transcript", "language", "description", "audio_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    AUDIO_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    consent: bool
    transcript: str
    language: str
    description: str
    audio_bytes: int
    def __init__(self, name: _Optional[str] = ..., consent: bool = ..., transcript: _Optional[str] = ..., language: _Optional[str] = ..., description: _Optional[str] = ..., audio_bytes: _Optional[int] = ...) -> None: ...

class CreateVoiceResponse(_message.Message):
    __slots__ = ("voice",)
    VOICE_FIELD_NUMBER: _ClassVar[int]
    voice: _voice_pb2.Voice
    def __init__(self, voice: _Optional[_Union[_voice_pb2.Voice, _Mapping]] = ...) -> None: ...

class DesignVoiceRequest(_message.Message):
    __slots__ = ("name", "description", "language")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    language: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., language: _Optional[str] = ...) -> None: ...

class DesignVoiceResponse(_message.Message):
    __slots__ = ("voice",)
    VOICE_FIELD_NUMBER: _ClassVar[int]
    voice: _voice_pb2.Voice
    def __init__(self, voice: _Optional[_Union[_voice_pb2.Voice, _Mapping]] = ...) -> None: ...

class GetVoiceRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetVoiceResponse(_message.Message):
    __slots__ = ("voice",)
    VOICE_FIELD_NUMBER: _ClassVar[int]
    voice: _voice_pb2.Voice
    def __init__(self, voice: _Optional[_Union[_voice_pb2.Voice, _Mapping]] = ...) -> None: ...

class DeleteVoiceRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteVoiceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
