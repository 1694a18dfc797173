"""What is told of the work: spans, metrics, logs. Engine and synthesizer announce, telemetry listens.

How the composition root uses it (each object is there and harmless when telemetry is off):

    logging.configure(form, level, request_id=...)          # telemetry/logging.py; names the current request
    telemetry = Telemetry.from_environment()                # OTEL_* variables; ConfigError if unusable
    server = grpc.aio.server(interceptors=[*telemetry.interceptors(tenant), Edge()])    # ours outermost
    service = SpeechSynthesis(gate, witness=Witness(telemetry.trace_id, telemetry.context_ended))
    engine = Engine(model, engine_settings, observer=telemetry.observer)
    synthesizer = Synthesizer(engine, desk, manner, recorder=telemetry.recorder)
    ...warm up...
    telemetry.start(model.name, engine.load, engine.heartbeat_age)      # on the loop; forgets the warm-up
    ...
    telemetry.cutting()                                     # when what still runs is about to be cancelled
    await telemetry.shutdown(5.0)                           # last of all, after the engine has stopped

`tenant()` is the pseudonym of who calls; it may be left out.

`telemetry.recorder` is a synthesizer.events.Recorder; it finds the RPC that an utterance belongs to by a
context variable, so synthesizer and rpc know nothing of it. A log line carries what `extra={"facts": {…}}`
says, its trace_id and span_id, and the request's id.

On or off: spans and metrics go out by OTLP if OTEL_EXPORTER_OTLP_ENDPOINT (or its _TRACES_ or _METRICS_
kind) is set; metrics are served for Prometheus if OTEL_METRICS_EXPORTER contains "prometheus", at
OTEL_EXPORTER_PROMETHEUS_HOST:PORT (localhost:9464). With neither, or with OTEL_SDK_DISABLED=true, no SDK is
started.

Never in a span, a metric or a log: text, sound, keys, exception messages. Lengths only.
"""
