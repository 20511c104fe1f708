//! Counts IP traffic: parsers, the table, sources.
//!
//! No Python, no files but the table's own, no wall clock and no printing. See `ARCHITECTURE.md`.

pub mod flow;
