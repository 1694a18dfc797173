"""The messages of ORCA, Open Request Cost Aggregation, by which balancers learn how busy a server is.

xds.data.orca.v3.OrcaLoadReport and xds.service.orca.v3.OrcaLoadReportRequest of github.com/cncf/xds, as far
as they are used here. They are built at run time in a pool of their own: the package on PyPI that has them
(xds-protos) also writes `google/__init__.py` and `opentelemetry/__init__.py`, which hides everybody else's
packages below these names. What must not live here: numbers, calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory

METHOD = "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics"
TRAILER = "endpoint-load-metrics-bin"

_DATA, _SERVICE = "xds.data.orca.v3", "xds.service.orca.v3"
_Field = descriptor_pb2.FieldDescriptorProto


def _field(name: str, number: int, kind: _Field.Type.ValueType, of: str = "") -> _Field:
    label = _Field.LABEL_REPEATED if of.endswith("Entry") else _Field.LABEL_OPTIONAL
    return _Field(name=name, number=number, type=kind, label=label, type_name=of or None)


def _pool() -> descriptor_pool.DescriptorPool:
    """Field numbers as in orca_load_report.proto and orca.proto of cncf/xds."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(duration_pb2.DESCRIPTOR.serialized_pb)
    data = descriptor_pb2.FileDescriptorProto(name="report.proto", package=_DATA, syntax="proto3")
    report = data.message_type.add(name="OrcaLoadReport")
    entry = report.nested_type.add(name="NamedMetricsEntry")
    entry.options.map_entry = True
    entry.field.append(_field("key", 1, _Field.TYPE_STRING))
    entry.field.append(_field("value", 2, _Field.TYPE_DOUBLE))
    report.field.append(_field("rps_fractional", 6, _Field.TYPE_DOUBLE))
    report.field.append(_field("eps", 7, _Field.TYPE_DOUBLE))
    named = f".{_DATA}.OrcaLoadReport.NamedMetricsEntry"
    report.field.append(_field("named_metrics", 8, _Field.TYPE_MESSAGE, named))
    report.field.append(_field("application_utilization", 9, _Field.TYPE_DOUBLE))
    pool.AddSerializedFile(data.SerializeToString())
    service = descriptor_pb2.FileDescriptorProto(name="service.proto", package=_SERVICE, syntax="proto3")
    service.dependency.append("google/protobuf/duration.proto")
    asked = service.message_type.add(name="OrcaLoadReportRequest")
    asked.field.append(_field("report_interval", 1, _Field.TYPE_MESSAGE, ".google.protobuf.Duration"))
    pool.AddSerializedFile(service.SerializeToString())
    return pool


_POOL = _pool()
Report: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_DATA}.OrcaLoadReport"))
ReportRequest: Any = message_factory.GetMessageClass(
    _POOL.FindMessageTypeByName(f"{_SERVICE}.OrcaLoadReportRequest")
)


def report(utilization: float, per_second: float, errors: float, named: Mapping[str, float]) -> Any:
    """A load report: work over places for it (more than 1 where some waits), calls and errors a second."""
    return Report(
        application_utilization=utilization, rps_fractional=per_second, eps=errors, named_metrics=named
    )
