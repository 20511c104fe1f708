//! The program in the kernel beside the parser of the core.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]
#![allow(clippy::cast_possible_truncation, reason = "numbers are cut into the fields of the kernel on purpose")]

pub(crate) mod oracle;
pub(crate) mod program;
pub(crate) mod settings;
