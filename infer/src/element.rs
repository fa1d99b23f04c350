//! Element types of tensors: their names in a descriptor, their codes in ONNX, their columns.

use std::fmt;

use arrow::datatypes::DataType;

/// What a tensor's elements may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ElementType {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float16,
    Float32,
    Float64,
    String,
}

/// Type, name, code in `TensorProto.DataType`.
const TYPES: [(ElementType, &str, i32); 13] = [
    (ElementType::Bool, "bool", 9),
    (ElementType::Int8, "int8", 3),
    (ElementType::Int16, "int16", 5),
    (ElementType::Int32, "int32", 6),
    (ElementType::Int64, "int64", 7),
    (ElementType::UInt8, "uint8", 2),
    (ElementType::UInt16, "uint16", 4),
    (ElementType::UInt32, "uint32", 12),
    (ElementType::UInt64, "uint64", 13),
    (ElementType::Float16, "float16", 10),
    (ElementType::Float32, "float32", 1),
    (ElementType::Float64, "float64", 11),
    (ElementType::String, "string", 8),
];

impl ElementType {
    /// The type's name in a descriptor: the same words as in a contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        TYPES.iter().find(|(element, ..)| *element == self).map_or("", |(_, name, _)| name)
    }

    /// The type of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        TYPES.iter().find(|(_, have, _)| *have == name).map(|(element, ..)| *element)
    }

    /// Every name, for messages.
    #[must_use]
    pub fn names() -> String {
        TYPES.map(|(_, name, _)| name).join(", ")
    }

    /// The type of this ONNX code; `None` for types no column can hold (complex, 4-bit, bfloat16).
    #[must_use]
    pub fn from_onnx(code: i32) -> Option<Self> {
        TYPES.iter().find(|(.., have)| *have == code).map(|(element, ..)| *element)
    }

    /// Whether it is a floating-point number.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::Float32 | Self::Float64)
    }

    /// Whether it is an integer.
    #[must_use]
    pub fn is_integer(self) -> bool {
        !self.is_float() && !matches!(self, Self::Bool | Self::String)
    }

    /// The column that holds such elements without conversion.
    #[must_use]
    pub fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::UInt8 => DataType::UInt8,
            Self::UInt16 => DataType::UInt16,
            Self::UInt32 => DataType::UInt32,
            Self::UInt64 => DataType::UInt64,
            Self::Float16 => DataType::Float16,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::String => DataType::Utf8,
        }
    }

    /// The column that an output of this type becomes: half precision is widened, since JSON and
    /// most readers of Parquet have none.
    #[must_use]
    pub fn output_type(self) -> DataType {
        match self {
            Self::Float16 => DataType::Float32,
            _ => self.data_type(),
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_distinct() {
        for (index, (element, name, code)) in TYPES.iter().enumerate() {
            assert_eq!(ElementType::parse(name), Some(*element));
            assert_eq!(ElementType::from_onnx(*code), Some(*element));
            assert!(TYPES[..index].iter().all(|(_, n, c)| n != name && c != code));
        }
        assert_eq!(ElementType::from_onnx(16), None, "bfloat16");
    }
}
