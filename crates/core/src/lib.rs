//! Counts IP traffic: parsers, the table, sources.
//!
//! No Python, no files but the table's own, no wall clock and no printing. See `ARCHITECTURE.md`.

pub mod flow;
pub mod netlink;
pub mod networks;
pub mod packet;
