//! What lies in the place of our pins and is not ours: it is named, and never removed.

use std::fs::{self, FileType};
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Kind};

use super::pins::{FINGERPRINT, Pins, generation_of};
use super::places::Place;

/// Symbolic links; everything else is pinned.
const TEXTS: [&str; 2] = [FINGERPRINT, super::links::NAMESPACE];
const MAPS: [&str; 4] = ["control", "slots", "receipts", "about"];
const PROGRAMS: &str = "program-";

fn is_name_of_ours(name: &str) -> bool {
    TEXTS.contains(&name)
        || MAPS.contains(&name)
        || name.starts_with(PROGRAMS)
        || Place::of(name).is_some()
        || generation_of(name).is_some()
}

/// What something is that has a name of ours and cannot be ours; None: it may be.
fn wrong(name: &str, kind: FileType) -> Option<&'static str> {
    match (kind.is_dir(), kind.is_symlink(), TEXTS.contains(&name)) {
        (true, ..) => Some("it is a directory"),
        (_, true, false) => Some("it is a symbolic link"),
        (_, false, true) => Some("it is no symbolic link"),
        _ => None,
    }
}

fn stranger(path: &Path, what: &str) -> Error {
    let shown = path.display();
    let cause = format!("it is not netledger's: {what}");
    let hint = format!("see whose it is; then rm -r {shown}, or move it away");
    Error::new(Kind::Exists, format!("bpf {shown}"), "look for pins", cause).with_hint(hint)
}

impl Pins {
    /// Whether a name is there, and may be ours. A program of another layout may have pins of other names.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        let is_known = is_name_of_ours(name) || !self.is_of_own_layout();
        fs::symlink_metadata(self.path(name)).is_ok_and(|found| is_known && wrong(name, found.file_type()).is_none())
    }

    /// What is there under a name of ours and is not ours; None: nothing.
    pub(super) fn stranger_at(&self, name: &str) -> Option<Error> {
        let path = self.path(name);
        let kind = fs::symlink_metadata(&path).ok().filter(|_| is_name_of_ours(name))?.file_type();
        wrong(name, kind).map(|what| stranger(&path, what))
    }

    /// Whether everything that is there under names of ours may be ours. What has another name is nobody's business.
    ///
    /// # Errors
    /// What is not, by its path; or it may not be looked at.
    pub(super) fn refuse_strangers(&self) -> Result<(), Error> {
        let (directory, at) = self.directories();
        for path in [directory.parent(), Some(directory), Some(at)].into_iter().flatten() {
            match fs::symlink_metadata(path) {
                Ok(found) if !found.is_dir() => return Err(stranger(path, "it is no directory")),
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(self.failed("look for pins", &error)),
                _ => {}
            }
        }
        self.names()?.iter().find_map(|name| self.stranger_at(name)).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ours_are_known() {
        for name in [&MAPS[..], &TEXTS, &["program-egress", "link-input-ipv4", "link-7-ingress", "rows-12"]].concat() {
            assert!(is_name_of_ours(name), "{name}");
        }
        for name in ["foreign", "rows-x", "link-", "control2"] {
            assert!(!is_name_of_ours(name), "{name}");
        }
    }
}
