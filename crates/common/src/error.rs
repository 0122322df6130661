//! The one error type of this crate: what went wrong, where, and what to do about it.

use std::error::Error as StdError;
use std::fmt;

/// Result of every fallible operation of this crate.
pub type Result<T, E = Error> = ::core::result::Result<T, E>;

/// What kind of failure an [`Error`] is; callers branch on this, never on the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's input breaks a rule: a schema violation, an unknown column, a bad option.
    Invalid,
    /// The named collection, record, index or column does not exist.
    NotFound,
    /// The input is fine by itself but collides with what is stored (a duplicate key, a broken reference).
    Conflict,
    /// Bytes that should have been written by this library do not read back.
    Corrupt,
    /// The feature is not compiled in, or this version does not know the tag.
    Unsupported,
    /// A limit of [`crate::limits::Limits`] was reached; nothing was changed.
    LimitExceeded,
    /// The database refuses further work, because it was closed or a storage failed half way.
    Closed,
    /// The operating system reported an error.
    Io,
}

impl ErrorKind {
    /// The kind's name in lower case, as logs, HTTP bodies and Python messages show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
            Self::LimitExceeded => "limit exceeded",
            Self::Closed => "closed",
            Self::Io => "input/output",
        }
    }
}

/// One broken rule of a schema: which column (and element) and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Violation {
    /// Where: a column, with list positions and map keys below it, as in `tags[2]` or `address.city`.
    pub path: String,
    /// Name of the broken rule: `type`, `required`, `nullable`, `range`, ... or a custom rule's own name.
    pub rule: String,
    /// What was found, what is expected.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.path, self.message, self.rule)
    }
}

/// A failure of this crate: a [kind](ErrorKind), a sentence for people, and where it began.
///
/// One pointer wide, so that a `Result` stays small on the read path.
///
/// ```
/// use common::{Error, ErrorKind};
/// let error = Error::invalid("a batch holds at most 1000 rows, this one has 1001").at("import");
/// assert_eq!(error.kind(), ErrorKind::Invalid);
/// assert_eq!(error.to_string(), "import: a batch holds at most 1000 rows, this one has 1001");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    violations: Vec<Violation>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(message: impl Into<String>) -> Self {
            Self::new(ErrorKind::$kind, message)
        }
    )*};
}

impl Error {
    /// An error of `kind` with a sentence that says what, where and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            violations: Vec::new(),
            source: None,
        }))
    }

    constructors! {
        /// An error of kind [`ErrorKind::Invalid`].
        invalid => Invalid;
        /// An error of kind [`ErrorKind::NotFound`].
        not_found => NotFound;
        /// An error of kind [`ErrorKind::Conflict`].
        conflict => Conflict;
        /// An error of kind [`ErrorKind::Corrupt`].
        corrupt => Corrupt;
        /// An error of kind [`ErrorKind::Unsupported`].
        unsupported => Unsupported;
        /// An error of kind [`ErrorKind::LimitExceeded`].
        limit_exceeded => LimitExceeded;
        /// An error of kind [`ErrorKind::Closed`].
        closed => Closed;
    }

    /// All broken rules of one record, as one error of kind [`ErrorKind::Invalid`] or [`ErrorKind::Conflict`].
    pub fn violations_of(kind: ErrorKind, subject: &str, violations: Vec<Violation>) -> Self {
        let mut message = format!("{subject} breaks {} rule(s)", violations.len());
        for (i, violation) in violations.iter().enumerate() {
            message.push_str(if i == 0 { ": " } else { "; " });
            message.push_str(&violation.to_string());
        }
        let mut error = Self::new(kind, message);
        error.0.violations = violations;
        error
    }

    /// Puts `place` in front of the message: called where the error crosses a boundary that knows more.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }

    /// Records the failure underneath, reported by [`std::error::Error::source`].
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Every broken rule, when the error came from validating a record; empty otherwise.
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} error: {}", self.0.kind.name(), self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, " (caused by: {source})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, source.to_string()).caused_by(source)
    }
}
