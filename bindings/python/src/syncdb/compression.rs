//! The natives under the classes of `syncdb.compression.type_compressor`. Attributes are where Python keeps them.

mod classes;
mod read;
mod values;
mod write;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyBytes, PyDict, PyInt, PyTuple};

use classes::{Kind, Table, level_of};
use read::Reader;
use write::Writer;

/// A native class of compressors: its Python name, and what it does.
macro_rules! compressor {
    ($rust:ident, $about:literal, $kind:expr) => {
        #[doc = $about]
        #[pyclass(subclass, frozen, module = "tandemdb._native.syncdb")]
        pub(super) struct $rust;

        #[pymethods]
        impl $rust {
            #[new]
            #[pyo3(signature = (*_args, **_kwargs))]
            fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
                Self
            }

            /// The value as bytes.
            fn compress<'py>(
                slf: &Bound<'py, Self>,
                value: &Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, PyBytes>> {
                compressed($kind, slf, value)
            }

            /// The value of what `compress` made; `ValueError` for other bytes.
            fn decompress<'py>(
                slf: &Bound<'py, Self>,
                data: &Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, PyAny>> {
                decompressed($kind, slf, data)
            }
        }
    };
}

compressor!(
    NoneMethods,
    "Native part of the class `NoneCompressor`.",
    Kind::None
);
compressor!(
    BooleanMethods,
    "Native part of the class `BooleanCompressor`.",
    Kind::Bool
);
compressor!(
    IntMethods,
    "Native part of the class `IntCompressor`.",
    Kind::Int
);
compressor!(
    FloatMethods,
    "Native part of the class `FloatCompressor`.",
    Kind::Float
);
compressor!(
    TextMethods,
    "Native part of the class `TextCompressor`.",
    Kind::Text
);
compressor!(
    BinaryMethods,
    "Native part of the class `BinaryCompressor`.",
    Kind::Bytes
);
compressor!(
    DateTimeMethods,
    "Native part of the class `DateTimeCompressor`.",
    Kind::When
);
compressor!(
    ListMethods,
    "Native part of the class `ListCompressor`.",
    Kind::List
);
compressor!(
    DictMethods,
    "Native part of the class `DictCompressor`.",
    Kind::Dict
);

fn compressed<'py>(
    kind: Kind,
    own: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = own.py();
    let mut out = Vec::new();
    match kind {
        Kind::None => {}
        Kind::Bool => out.push(u8::from(value.is_truthy()?)),
        Kind::Int => values::put_int(value, &mut out)?,
        Kind::Float => values::put_single(value, &mut out)?,
        Kind::Text => values::put_text(
            value,
            level_of(&own.getattr(intern!(py, "level"))?)?,
            &mut out,
        )?,
        Kind::Bytes => values::put_bytes(
            value,
            level_of(&own.getattr(intern!(py, "level"))?)?,
            &mut out,
        )?,
        Kind::When => values::put_when(value, &mut out)?,
        Kind::List => {
            let mut writer = Writer::new(own.getattr(intern!(py, "compressor_factory"))?)?;
            writer.list(value)?;
            out = writer.out;
        }
        Kind::Dict => {
            let mut writer = Writer::new(own.getattr(intern!(py, "compressor_factory"))?)?;
            writer.dict(value, &own.getattr(intern!(py, "text_compressor"))?)?;
            out = writer.out;
        }
    }
    Ok(PyBytes::new(py, &out))
}

fn decompressed<'py>(
    kind: Kind,
    own: &Bound<'py, PyAny>,
    data: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = own.py();
    if kind == Kind::None {
        return Ok(py.None().into_bound(py));
    }
    let data = values::Input::of(data)?;
    let mut room = values::room();
    match kind {
        Kind::None => Ok(py.None().into_bound(py)),
        Kind::Bool => values::boolean(py, data.bytes()),
        Kind::Int => values::int(py, data.bytes()),
        Kind::Float => values::float(py, data.bytes()),
        Kind::Text => values::text(py, data.bytes(), &mut room),
        Kind::Bytes => values::bytes(py, data.bytes(), &mut room),
        Kind::When => values::when(py, data.bytes()),
        Kind::List => {
            Reader::new(own.getattr(intern!(py, "compressor_factory"))?)?.list(data.bytes())
        }
        Kind::Dict => {
            let mut reader = Reader::new(own.getattr(intern!(py, "compressor_factory"))?)?;
            reader.dict(data.bytes(), &own.getattr(intern!(py, "text_compressor"))?)
        }
    }
}

/// Native part of the class `CompressorFactory`.
#[pyclass(subclass, frozen, module = "tandemdb._native.syncdb")]
pub(super) struct CompressorTableMethods;

#[pymethods]
impl CompressorTableMethods {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }

    /// The number of the value's exact type; 0 for types that are not known.
    fn get_type_signature<'py>(
        slf: &Bound<'py, Self>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Table::signature_of(slf, value.get_type().as_any())
    }

    /// The compressor of a type; that of `None` for types that are not known.
    fn get_compressor_for_type<'py>(
        slf: &Bound<'py, Self>,
        value_type: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Table::compressor_of(slf, &Table::signature_of(slf, value_type)?)
    }

    /// The compressor of a number; that of `None` for numbers that are not known.
    fn get_compressor_for_signature<'py>(
        slf: &Bound<'py, Self>,
        type_signature: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Table::compressor_of(slf, type_signature)
    }
}

/// Native part of the class `PayloadCompressor`.
#[pyclass(subclass, frozen, module = "tandemdb._native.syncdb")]
pub(super) struct PayloadMethods;

#[pymethods]
impl PayloadMethods {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }

    /// A record as bytes. The table's name has no influence.
    fn compress_record<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
        record: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = table_name;
        write::whole(
            &slf.getattr(intern!(slf.py(), "compressor_factory"))?,
            Kind::Dict,
            record,
        )
    }

    /// The record of what `compress_record` made, at any level; `ValueError` for other bytes.
    fn decompress_record<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = table_name;
        read::whole(
            &slf.getattr(intern!(slf.py(), "compressor_factory"))?,
            Kind::Dict,
            data,
        )
    }

    /// A list of changes, each a dict, as bytes. The table's name has no influence.
    fn compress_changes<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
        changes: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = table_name;
        write::whole(
            &slf.getattr(intern!(slf.py(), "compressor_factory"))?,
            Kind::List,
            changes,
        )
    }

    /// The changes of what `compress_changes` made, at any level; `ValueError` for other bytes.
    fn decompress_changes<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = table_name;
        read::whole(
            &slf.getattr(intern!(slf.py(), "compressor_factory"))?,
            Kind::List,
            data,
        )
    }
}

/// The number of a type as one byte.
fn signature_byte(signature: &Bound<'_, PyAny>) -> PyResult<u8> {
    signature.cast::<PyInt>()?.extract().map_err(|_| {
        pyo3::exceptions::PyValueError::new_err(format!(
            "{signature} is no signature of a type: expected 0 to 255"
        ))
    })
}
