"""The wire form of Sparkplug B payloads: protobuf messages, built at run time from the published field numbers.

Built here and not generated, because generated code is tied to the version of the protobuf runtime. Text fields are
read as bytes: one name that is not UTF-8 must not cost its neighbours.
"""

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

__all__ = ["VALUE_FIELDS", "WireColumns", "WireFrames", "WirePayload", "WirePropertySet"]

_METRIC: Final = (
    "1 bytes name, 2 uint64 alias, 3 uint64 timestamp, 4 uint32 datatype, 5 bool is_historical, 6 bool is_transient,"
    " 7 bool is_null"
)
_SCALARS: Final = "uint32 int_value, uint64 long_value, float float_value, double double_value, bool boolean_value"

VALUE_FIELDS: Final = {
    "int_value": 10,
    "long_value": 11,
    "float_value": 12,
    "double_value": 13,
    "boolean_value": 14,
    "string_value": 15,
    "bytes_value": 16,
    "dataset_value": 17,
    "template_value": 18,
}
"""fields of a metric that hold its value, and their numbers; a metric has at most one of them"""


def _numbered(first: int, fields: str) -> str:
    return ", ".join(f"{first + step} {field}" for step, field in enumerate(fields.split(", ")))


# number, type, * where repeated, name; after the semicolon the fields of which one at most is set.
_MESSAGES: Final = {
    "Payload": "1 uint64 timestamp, 2 Metric* metrics, 3 uint64 seq, 4 bytes uuid, 5 bytes body",
    "Metric": f"{_METRIC}, 8 MetaData metadata, 9 PropertySet properties;"
    + _numbered(
        10, f"{_SCALARS}, bytes string_value, bytes bytes_value, DataSet dataset_value, Template template_value"
    ),
    "MetaData": "1 bool is_multi_part, 2 bytes content_type, 3 uint64 size, 4 uint64 seq, 5 bytes file_name,"
    " 6 bytes file_type, 7 bytes md5, 8 bytes description",
    "PropertySet": "1 bytes* keys, 2 PropertyValue* values",
    "PropertySetList": "1 PropertySet* propertyset",
    "PropertyValue": "1 uint32 type, 2 bool is_null;"
    + _numbered(
        3, f"{_SCALARS}, bytes string_value, PropertySet propertyset_value, PropertySetList propertysets_value"
    ),
    "DataSet": "1 uint64 num_of_columns, 2 bytes* columns, 3 uint32* types, 4 Row* rows",
    "Row": "1 DataSetValue* elements",
    "DataSetValue": ";" + _numbered(1, f"{_SCALARS}, bytes string_value"),
    "Template": "1 bytes version, 2 Metric* metrics, 3 Parameter* parameters, 4 bytes template_ref,"
    " 5 bool is_definition",
    "Parameter": "1 bytes name, 2 uint32 type;" + _numbered(3, f"{_SCALARS}, bytes string_value"),
    # The same payload read as columns: a message field that occurs again is merged into the one before, so that
    # all metrics become one whose fields hold a value of each. Many times faster than an object per metric.
    "Columns": "1 uint64 timestamp, 2 MetricColumns metrics, 3 uint64 seq",
    "MetricColumns": _METRIC.replace(" name", "* name")
    .replace("uint64 ", "uint64* ")
    .replace("uint32 ", "uint32* ")
    .replace("bool ", "bool* ")
    + ", 8 bytes* metadata, 9 bytes* properties, 10 uint32* int_value, 11 uint64* long_value, 12 float* float_value,"
    " 13 double* double_value, 14 bool* boolean_value, 15 bytes* string_value, 16 bytes* bytes_value,"
    " 17 bytes* dataset_value, 18 bytes* template_value",
    "Frames": "2 bytes* metrics",
}


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="sparkplug.proto", package="precursor.sparkplug", syntax="proto2")
    for message_name, text in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        plain, _, choice = text.partition(";")
        if choice:
            message.oneof_decl.add(name="value")
        for fields, chosen in ((plain, False), (choice, True)):
            for field_text in filter(None, fields.split(",")):
                number, kind, name = field_text.split()
                field = message.field.add(name=name, number=int(number))
                field.label = (
                    FieldDescriptorProto.LABEL_REPEATED if kind.endswith("*") else FieldDescriptorProto.LABEL_OPTIONAL
                )
                kind = kind.rstrip("*")
                if kind in _MESSAGES:
                    field.type = FieldDescriptorProto.TYPE_MESSAGE
                    field.type_name = f".precursor.sparkplug.{kind}"
                else:
                    field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
                if chosen:
                    field.oneof_index = 0
    return file


# A pool of its own: another library in the process may know the same messages under the same names.
_POOL = DescriptorPool()
_POOL.Add(_file())


# The classes are made at run time, so that no checker can know their fields.
def _class(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"precursor.sparkplug.{name}"))


WirePayload: Any = _class("Payload")
WirePropertySet: Any = _class("PropertySet")
WireColumns: Any = _class("Columns")
"""a payload as columns"""
WireFrames: Any = _class("Frames")
"""a payload whose metrics are left as bytes"""
