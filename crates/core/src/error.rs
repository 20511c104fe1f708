//! What can go wrong: subject, operation, cause.

use std::io;

/// The family of an error; the Python side raises a class for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A source could not do its work.
    Source,
    /// Another socket holds the NFLOG group.
    GroupBusy,
    /// A capability is missing.
    PermissionDenied,
    /// A table file is damaged, in use or of another version.
    Table,
    /// A capture cannot be read.
    Capture,
    /// What is asked for is not there.
    NotFound,
    /// What is to be made is there already.
    Exists,
    /// Rules still use what is to be deleted.
    ObjectBusy,
    /// The kernel lacks the feature.
    NotSupported,
    /// What the kernel listed changed again and again while it was read.
    Unsteady,
}

/// Prints as `subject: operation: cause`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    pub subject: String,
    pub operation: &'static str,
    pub cause: String,
    pub hint: Option<String>,
}

impl Error {
    #[must_use]
    pub fn new(kind: Kind, subject: impl Into<String>, operation: &'static str, cause: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), operation, cause: cause.into(), hint: None }
    }

    #[must_use]
    pub fn io(subject: impl Into<String>, operation: &'static str, error: &io::Error) -> Self {
        Self::new(Kind::Source, subject, operation, reason(error))
    }

    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The kernel's words in lower case, without Rust's number behind them.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.subject, self.operation, self.cause)
    }
}

impl std::error::Error for Error {}
