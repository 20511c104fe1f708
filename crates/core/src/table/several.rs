//! A closed generation that is spread over several table files: one for each thread that received.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use arrow_array::StructArray;

use crate::batch::{InterfaceNames, Names, batch};
use crate::error::Error;
use crate::flow::{Key, Sums};

use super::closed::Closed;
use super::header::{Content, GroupState};

/// Never empty. The first one has the path that the generation is known by.
#[derive(Debug)]
pub struct Several {
    files: Vec<Closed>,
    pub totals: GroupState,
    pub other: Sums,
    pub recovered: bool,
    pub last_received_ns: u64,
}

/// Where the file of another thread than the first lies.
#[must_use]
pub fn path_of(path: &Path, number: usize) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

impl From<Closed> for Several {
    fn from(closed: Closed) -> Self {
        Self::new(vec![closed])
    }
}

impl Several {
    #[must_use]
    pub fn new(files: Vec<Closed>) -> Self {
        let mut all = Self {
            totals: GroupState::default(),
            other: Sums::default(),
            recovered: files.iter().any(|closed| closed.recovered),
            last_received_ns: files.iter().map(|closed| closed.last_received_ns).max().unwrap_or(0),
            files: Vec::new(),
        };
        for closed in &files {
            all.totals.merge(&closed.totals);
            all.other.merge(&closed.other);
        }
        all.files = files;
        all
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), |closed| closed.file.path())
    }

    #[must_use]
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Rows with at least one packet.
    #[must_use]
    pub fn used(&self) -> usize {
        let is_used = |sums: &Sums| sums.sent_packets != 0 || sums.received_packets != 0;
        match self.files.as_slice() {
            [one] => one.file.table.rows().filter(|(_, sums)| is_used(sums)).count(),
            several => merged(several).values().filter(|sums| is_used(sums)).count(),
        }
    }

    /// The rows, added up where two files have the same key. Packets' files know the names of their interfaces; for the
    /// others `interfaces` are the names.
    ///
    /// # Errors
    /// Arrow's own; none is known to be possible here.
    pub fn batch(&self, interfaces: &InterfaceNames) -> Result<StructArray, Error> {
        let Some(first) = self.files.first() else {
            return Err(Error::new(crate::error::Kind::Table, "generation", "read", "it has no file"));
        };
        let spec = &first.file.spec;
        let own: InterfaceNames = self.files.iter().flat_map(|closed| closed.file.header().interfaces()).collect();
        let is_of_packets = first.file.header().content() == Some(Content::Packets);
        let labels = first.file.labels();
        let names = Names { interfaces: if is_of_packets { &own } else { interfaces }, labels: &labels };
        match self.files.as_slice() {
            [one] => batch(one.file.table.rows(), one.file.table.len(), spec, &names, None),
            several => {
                let rows = merged(several);
                let count = rows.len();
                batch(rows.into_iter(), count, spec, &names, None)
            }
        }
    }

    /// Removes the files, the first one last: as long as it is there, the others may be missing.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove(&self) -> Result<(), Error> {
        self.files.iter().rev().try_for_each(|closed| closed.file.remove())
    }

    /// How many rows a generation of about this size should expect in each file.
    #[must_use]
    pub fn rows_to_expect(&self) -> usize {
        self.files.iter().map(|closed| closed.file.table.rows_to_expect()).max().unwrap_or(0)
    }
}

fn merged(files: &[Closed]) -> HashMap<Key, Sums> {
    let mut all: HashMap<Key, Sums> = HashMap::new();
    for (key, sums) in files.iter().flat_map(|closed| closed.file.table.rows()) {
        all.entry(key).or_default().merge(&sums);
    }
    all
}
