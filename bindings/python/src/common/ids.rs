//! Generated ids.

use std::time::{SystemTime, UNIX_EPOCH};

use common::utils::id_generator::{BufferedRng, Rng, SystemRng};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyModule, PyString};

/// Most letters of a generated id.
const LETTERS_MAX: usize = 1 << 24;

/// The system's randomness, some thousand bytes at a time.
static RANDOM: BufferedRng<SystemRng> = BufferedRng::new(SystemRng);

/// Random bytes that nobody else gets.
pub(crate) fn random_bytes(bytes: &mut [u8]) {
    RANDOM.fill(bytes);
}

/// The text of a random (version 4) UUID.
pub(crate) fn uuid_text(py: Python<'_>) -> Bound<'_, PyString> {
    let mut random = [0; 16];
    random_bytes(&mut random);
    let uuid = uuid::Builder::from_random_bytes(random).into_uuid();
    PyString::new(
        py,
        uuid.hyphenated()
            .encode_lower(&mut uuid::Uuid::encode_buffer()),
    )
}

/// The text of a new random UUID.
#[pyfunction]
pub(crate) fn generate_uuid(py: Python<'_>) -> Bound<'_, PyString> {
    uuid_text(py)
}

/// A new id: milliseconds since the epoch and `length` random letters and digits, after the prefix if there is one.
///
/// The letters come from the system's randomness, so a seeded program does not repeat them. Raises `ValueError` for more
/// than 16,777,216 of them.
#[pyfunction]
#[pyo3(signature = (prefix = None, length = 10))]
pub(crate) fn generate_id(prefix: Option<&Bound<'_, PyAny>>, length: isize) -> PyResult<String> {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    let mut id = match prefix {
        Some(prefix) if prefix.is_truthy()? => format!("{}-{millis}-", prefix.str()?.to_cow()?),
        _ => format!("{millis}-"),
    };
    let mut left = usize::try_from(length).unwrap_or(0);
    if left > LETTERS_MAX {
        return Err(PyValueError::new_err(format!(
            "an id has at most {LETTERS_MAX} random letters, not {left}"
        )));
    }
    while left > 0 {
        let mut random = [0; 16];
        random_bytes(&mut random);
        for byte in random {
            // Of 256 values the last 8 would make some letters likelier than others.
            if left > 0 && byte < 248 {
                id.push(char::from(match byte % 62 {
                    digit @ 0..10 => b'0' + digit,
                    letter @ 10..36 => b'a' + letter - 10,
                    letter => b'A' + letter - 36,
                }));
                left -= 1;
            }
        }
    }
    Ok(id)
}

/// Throws away random bytes fetched ahead: called in a child process after a fork.
#[pyfunction]
pub(crate) fn forget_random_bytes() {
    RANDOM.forget();
}

/// A child process must not make the ids of its parent.
pub(crate) fn forget_after_fork(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let Some(register) = py
        .import("os")?
        .getattr_opt(intern!(py, "register_at_fork"))?
    else {
        return Ok(());
    };
    let arguments = pyo3::types::PyDict::new(py);
    let name: &Bound<'_, PyString> = intern!(py, "forget_random_bytes");
    arguments.set_item("after_in_child", module.getattr(name)?)?;
    register.call((), Some(&arguments)).map(drop)
}
