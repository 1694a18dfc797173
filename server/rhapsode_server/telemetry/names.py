"""Every name that leaves this process: spans, attributes, events, metrics with their units and buckets.

`rpc.*` follows version 1.44.0 of the OpenTelemetry semantic conventions, the schema that is announced with
it; `gen_ai.*` follows the conventions for generative AI of autumn 2026, where speech is still in development
(hence one table, here); `tts.*` is our own, for what has no name there. Documents and dashboards are held
against this file. What must not live here: anything but names and numbers.
"""

from __future__ import annotations

from typing import NamedTuple

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
SCOPE = "rhapsode_server"
SERVICE = "rhapsode"

# ---- spans. The SERVER span is called as its method: rhapsode.tts.v1.TextToSpeech/Synthesize

SPAN_UTTERANCE = "text_to_speech"
"""Followed by a blank and the model's name."""
SPAN_RECEIVE = "tts.receive"
SPAN_NORMALIZE = "tts.text.normalize"
SPAN_QUEUE = "tts.queue"
SPAN_PREFILL = "tts.prefill"
SPAN_DECODE = "tts.decode"
SPAN_VOCODE = "tts.vocode"
SPAN_ENCODE = "tts.encode"
SPAN_WRITE = "tts.stream.write"
SPAN_STEP = "tts.batch.step"

STAGES = (
    *(SPAN_RECEIVE, SPAN_NORMALIZE, SPAN_QUEUE, SPAN_PREFILL, SPAN_DECODE, SPAN_VOCODE, SPAN_ENCODE),
    SPAN_WRITE,
)
"""In the order in which a request passes them."""

EVENT_FIRST_AUDIO = "first_audio"

# ---- attributes

RPC_SYSTEM = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_STATUS = "rpc.response.status_code"
ERROR_TYPE = "error.type"
OTHER_METHOD = "_OTHER"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
MODEL = "gen_ai.request.model"
OUTPUT_TYPE = "gen_ai.output.type"
VOICE = "gen_ai.speech.voice"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"

CLOSE_REASON = "tts.close_reason"
TENANT = "tts.tenant"
REQUEST_ID = "tts.request.id"
FINISH_REASON = "tts.finish_reason"
ERROR_REASON = "tts.error.reason"
CHARACTERS = "tts.text.chars"
PIECES = "tts.pieces"
PIECE = "tts.piece"
SPEED = "tts.speed"
PRIORITY = "tts.priority"
ENCODING = "tts.audio.encoding"
SAMPLE_RATE = "tts.audio.sample_rate"
AUDIO_SECONDS = "tts.audio.seconds"
REAL_TIME_FACTOR = "tts.rtf"
FRAMES = "tts.frames"
BUSY_SECONDS = "tts.busy_seconds"
BLOCKED_SECONDS = "tts.blocked_seconds"
MESSAGES = "tts.messages"
STEPS = "tts.steps"
FIRST_STEP = "tts.batch.step.first"
LAST_STEP = "tts.batch.step.last"
STEP = "tts.batch.step.index"
BATCH_MIN = "tts.batch.size.min"
BATCH_MEAN = "tts.batch.size.mean"
BATCH_MAX = "tts.batch.size.max"
PREFILLED = "tts.batch.prefilled"
DECODED = "tts.batch.decoded"
VOCODED = "tts.batch.vocoded"
RUNNING = "tts.requests.running"
WAITING = "tts.requests.waiting"
SEQUENCE = "tts.sequence"

# Attributes of metrics: short, because they become labels, and of few values each.
LABEL_MODEL = "model"
LABEL_VOICE_KIND = "voice_kind"
LABEL_COLD = "cold"
LABEL_PRIORITY = "priority"
LABEL_PHASE = "phase"
LABEL_STAGE = "stage"
LABEL_REASON = "reason"
LABEL_WASTE = "waste"
LABEL_OUTCOME = "outcome"

# ---- values

PHASES = ("vocode", "prefill", "decode")
UNSENT, UNHEARD = "unsent", "unheard"
GRPC = "grpc"
SPEECH = "speech"

# ---- metrics


class Metric(NamedTuple):
    """One instrument. `buckets` are the upper bounds of a histogram, in `unit`."""

    name: str
    unit: str
    meaning: str
    buckets: tuple[float, ...] = ()


RPC_DURATION = Metric(
    "rpc.server.call.duration",
    "s",
    "Duration of an RPC, a stream's whole life.",
    # The convention's advice, and then what streams of speech need.
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 30, 60, 120, 300, 600),
)
FIRST_AUDIO = Metric(
    "tts.server.time_to_first_audio",
    "s",
    "From the arrival of a request to its first sound being handed to the network.",
    (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2.5, 5, 10),
)
CHUNK_GAP = Metric(
    "tts.server.inter_chunk_gap",
    "s",
    "Between two messages with sound of one utterance.",
    (0.01, 0.02, 0.04, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2),
)
RTF = Metric(
    "tts.server.real_time_factor",
    "1",
    "Time the engine worked on an utterance over the time it sounds.",
    (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.85, 1, 1.5, 2),
)
UNDERRUN = Metric(
    "tts.server.underrun",
    "{event}",
    "A listener who plays from the first sound on has run out of it.",
)
AUDIO_WASTED = Metric(
    "tts.server.audio.wasted",
    "s",
    "Sound made for nobody: vocoded and never sent, or sent and not heard before an interruption.",
)
AUDIO_DURATION = Metric("tts.server.audio.duration", "s", "Sound delivered.")
TEXT_CHARACTERS = Metric("tts.server.text.characters", "{char}", "Characters of utterances let in.")
QUEUE_DEPTH = Metric("tts.scheduler.queue.depth", "{request}", "Waiting for a slot.")
REQUESTS_RUNNING = Metric("tts.scheduler.requests.running", "{request}", "Holding a slot.")
SLOTS_LIMIT = Metric("tts.scheduler.slots.limit", "{request}", "Slots there are.")
QUEUE_DURATION = Metric(
    "tts.scheduler.queue.duration",
    "s",
    "From being queued to having a slot, for the first piece of an utterance.",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
STEP_DURATION = Metric(
    "tts.scheduler.step.duration",
    "s",
    "One step of the engine.",
    (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5),
)
STEP_BATCH = Metric(
    "tts.scheduler.step.batch_size",
    "{request}",
    "Sequences in one step, for each phase that had any.",
    (1, 2, 4, 8, 16, 32, 64, 128, 256),
)
ENGINE_BUSY = Metric("tts.scheduler.busy", "s", "Time that the engine's thread spent in each phase.")
CACHE_FILLED = Metric(
    "tts.kv_cache.utilization", "1", "Share of the cache's positions that running requests may come to use."
)
LAST_STEP_AGE = Metric(
    "tts.scheduler.last_step.age", "s", "Since the engine last made progress; 0 while it has nothing to do."
)
REJECTED = Metric("tts.requests.rejected", "{request}", "Requests refused before any sound, by reason.")
CONTEXTS = Metric("tts.session.contexts", "{context}", "Contexts of sessions that have ended, by how.")
STAGE_FAILED = Metric("tts.engine.failures", "{request}", "Utterances that a failing stage has ended.")
NONFINITE = Metric("tts.guard.nonfinite", "{request}", "Utterances ended because numbers became not finite.")
OUT_OF_MEMORY = Metric("tts.gpu.oom", "{event}", "A stage found no device memory.")
OBSERVATIONS_LOST = Metric(
    "tts.telemetry.lost", "{event}", "Announcements dropped because telemetry could not keep up."
)
VOICES = Metric("tts.voices.created", "{voice}", "Voices that callers have made and that are kept.")
VOICES_MEMORY = Metric("tts.voices.memory", "By", "What created voices take up.")
VOICE_HITS = Metric("tts.voices.hits", "{request}", "Requests for a created voice that was kept.")
VOICE_MISSES = Metric(
    "tts.voices.misses", "{request}", "Requests for a voice that is neither the model's nor kept."
)
VOICE_EVICTIONS = Metric(
    "tts.voices.evictions", "{voice}", "Created voices that had to make room for others."
)
PROCESS_MEMORY = Metric("process.memory.usage", "By", "Resident memory.")
PROCESS_FILES = Metric("process.open_file_descriptor.count", "{file_descriptor}", "Open files and sockets.")
PROCESS_THREADS = Metric("process.thread.count", "{thread}", "Threads.")
PROCESS_CPU = Metric("process.cpu.time", "s", "Processor time of all threads.")

HISTOGRAMS = (RPC_DURATION, FIRST_AUDIO, CHUNK_GAP, RTF, QUEUE_DURATION, STEP_DURATION, STEP_BATCH)
COUNTERS = (
    *(UNDERRUN, AUDIO_DURATION, TEXT_CHARACTERS, REJECTED, CONTEXTS, STAGE_FAILED, NONFINITE, OUT_OF_MEMORY),
    *(AUDIO_WASTED, ENGINE_BUSY, OBSERVATIONS_LOST),
)
GAUGES = (
    *(QUEUE_DEPTH, REQUESTS_RUNNING, SLOTS_LIMIT, LAST_STEP_AGE, VOICES, VOICES_MEMORY),
    *(CACHE_FILLED, PROCESS_MEMORY, PROCESS_FILES, PROCESS_THREADS),
)
OBSERVED_COUNTERS = (VOICE_HITS, VOICE_MISSES, VOICE_EVICTIONS, PROCESS_CPU)
METRICS = (*HISTOGRAMS, *COUNTERS, *GAUGES, *OBSERVED_COUNTERS)

# ---- how much

STEP_EVERY = 64
"""One step in so many becomes a span, if it served a request that is traced: about one a second."""
