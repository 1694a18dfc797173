"""What is told of the work: spans, metrics and logs. The engine and the synthesizer announce, telemetry listens.

How the composition root uses it (each object is there and harmless when telemetry is off):

    logging.configure(settings.telemetry.log_format, settings.telemetry.log_level)     # telemetry/logging.py
    telemetry = Telemetry.from_environment(model.name)            # OTEL_* variables; ConfigError if unusable
    engine = Engine(model, engine_settings, observer=telemetry.observer)
    synthesizer = Synthesizer(engine, desk, manner, recorder=telemetry.recorder)
    server = grpc.aio.server(interceptors=[*telemetry.interceptors(sound_of), ...])    # ours first: outermost
    telemetry.start(load=engine.load, heartbeat_age=engine.heartbeat_age)              # on the event loop
    ...
    await telemetry.shutdown(5.0)                                 # last of all, after the engine has stopped

`interceptors` is empty when telemetry is off. `sound_of(message)` tells of a response message which sound it
carries: `Sound(start, seconds)`, start in seconds from the beginning of its utterance, or None for a message
without sound; it feeds the gaps between chunks and the count of underruns and may be left out.

`telemetry.recorder` is a synthesizer.events.Recorder; it finds the RPC that an utterance belongs to by a
context variable, so synthesizer and rpc need not know of it. An rpc may add `extra={"request_id": …}` to a
log line; trace_id and span_id come by themselves.

On or off: spans and metrics go out by OTLP if OTEL_EXPORTER_OTLP_ENDPOINT (or its _TRACES_ or _METRICS_
kind) is set; metrics are served for Prometheus if OTEL_METRICS_EXPORTER contains "prometheus", at
OTEL_EXPORTER_PROMETHEUS_HOST:PORT (localhost:9464). With neither, or OTEL_SDK_DISABLED=true, no SDK is started.

Never in a span, a metric or a log: text, sound, keys, exception messages. Lengths only.
"""
