//! What Arrow's `PyCapsule` interface hands over: structs of C in capsules that Python keeps.

#![expect(
    unsafe_code,
    reason = "the interface is structs of C behind pointers, which a capsule vouches for by its name"
)]

use std::ffi::CStr;
use std::ptr::NonNull;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{ArrayRef, make_array};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::refused;

pub(super) const STREAM: &CStr = c"arrow_array_stream";
pub(super) const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";

fn pointer<T>(capsule: &Bound<'_, PyAny>, name: &CStr) -> PyResult<NonNull<T>> {
    let capsule = capsule.cast::<PyCapsule>()?;
    Ok(capsule.pointer_checked(Some(name))?.cast())
}

/// Moves the stream out of a capsule, whose destructor then finds nothing to release.
pub(super) fn take_stream(capsule: &Bound<'_, PyAny>) -> PyResult<FFI_ArrowArrayStream> {
    let stream = pointer::<FFI_ArrowArrayStream>(capsule, STREAM)?;
    // SAFETY: a capsule of this name holds such a struct, says the interface, and nobody else uses it while this thread
    // has the interpreter. What stays behind says that it is released.
    Ok(unsafe { FFI_ArrowArrayStream::from_raw(stream.as_ptr()) })
}

/// Moves an array out of its capsules, and reads its type as a field.
pub(super) fn take_array(
    schema: &Bound<'_, PyAny>,
    array: &Bound<'_, PyAny>,
) -> PyResult<(arrow_schema::Field, ArrayRef)> {
    let schema = pointer::<FFI_ArrowSchema>(schema, SCHEMA)?;
    let array = pointer::<FFI_ArrowArray>(array, ARRAY)?;
    // SAFETY: as in `take_stream`.
    let (schema, array) = unsafe {
        (
            FFI_ArrowSchema::from_raw(schema.as_ptr()),
            FFI_ArrowArray::from_raw(array.as_ptr()),
        )
    };
    if array.is_released() {
        return Err(refused("the array in the capsule was taken before"));
    }
    let field =
        arrow_schema::Field::try_from(&schema).map_err(|error| refused(&error.to_string()))?;
    // SAFETY: the two come from one call of the producer, which says that the array is of this type.
    let data = unsafe { from_ffi(array, &schema) };
    Ok((
        field,
        make_array(data.map_err(|error| refused(&error.to_string()))?),
    ))
}
