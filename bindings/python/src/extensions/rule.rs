//! Rules for the values of a column.

use std::cell::RefCell;

use common::Value;
use pyo3::prelude::*;

use crate::interchange::value_to_python;

thread_local! {
    /// What a rule raised on this thread: a rule of the engine's answers with a text, which cannot carry an exception.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// The engine's rule that asks a callable: it returns what is wrong with the value, or nothing.
pub(super) fn rule(
    name: String,
    check: Py<PyAny>,
) -> impl Fn(&Value) -> Option<String> + Send + Sync {
    move |value| {
        let asked = Python::try_attach(|py| {
            let value = value_to_python(py, value)?;
            answer(&check.bind(py).call1((value,))?)
        });
        match asked {
            Some(Ok(wrong)) => wrong,
            Some(Err(raised)) => {
                RAISED.with(|place| place.replace(Some(raised)));
                Some(format!("rule `{name}` raised an exception"))
            }
            None => Some(format!("rule `{name}`: the Python interpreter has ended")),
        }
    }
}

/// What a check says: a text is what is wrong; `None` and `True` are well, `False` is not.
pub(super) fn answer(given: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    if given.is_none() {
        return Ok(None);
    }
    if let Ok(is_well) = given.extract::<bool>() {
        return Ok((!is_well).then(|| "is not valid".to_owned()));
    }
    given.extract().map(Some)
}

/// What a rule raised on this thread since this was asked last.
pub(super) fn taken() -> Option<PyErr> {
    RAISED.with(RefCell::take)
}
