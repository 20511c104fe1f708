//! Opens what a dead process has left, whichever mechanism it was counting with.

use std::path::Path;

use crate::error::Error;
use crate::packet_meter::THREADS_MAX;
use crate::sources::{nflog, packet};
use crate::table::closed::Closed;
use crate::table::file::TableFile;
use crate::table::header::{Content, Word};
use crate::table::several::{Several, path_of};

/// Finishes what was received and not yet added. Of a generation in several files those that are missing have been
/// released: the one at `path` goes last.
///
/// # Errors
/// No table file, damaged, of another version, or in use.
pub fn recover(path: &Path) -> Result<Several, Error> {
    let first = finish(path)?;
    let count = usize::try_from(first.file.header().get(Word::Files)).unwrap_or(0).min(THREADS_MAX);
    let mut files = vec![first];
    for number in 1..count {
        let path = path_of(path, number);
        if path.exists() {
            files.push(finish(&path)?);
        }
    }
    Ok(Several::new(files))
}

/// The same of one file.
pub(crate) fn finish(path: &Path) -> Result<Closed, Error> {
    let mut file = TableFile::open(path)?;
    match file.header().content() {
        Some(Content::Packets) => packet::finish(&mut file)?,
        _ => nflog::generation::finish(&mut file)?,
    }
    Ok(Closed::new(file, true))
}
