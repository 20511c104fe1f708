//! The directory of a BPF file system in which a program outlives its process.
//!
//! Below the meter's directory lies one for each layout, `v1`. A link to nowhere in it, `fingerprint`, is made last: where
//! it is, everything else was made.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, reason};
use crate::sys::bpf::{open_pinned, pin};
use crate::sys::bpf_file_system::{is_bpf, mount};

/// Where BPF file systems are looked for everywhere.
const MOUNT_POINT: &str = "/sys/fs/bpf";
pub(super) const FINGERPRINT: &str = "fingerprint";
const ROWS: &str = "rows-";

#[derive(Clone, Debug)]
pub(super) struct Pins {
    directory: PathBuf,
    /// That of programs that we load.
    pub(super) own_layout: u32,
    /// Of the layout that is meant: ours, if nothing else was found.
    at: PathBuf,
}

impl Pins {
    pub(super) fn new(directory: &Path, own_layout: u32) -> Self {
        Self { directory: directory.to_owned(), own_layout, at: directory.join(format!("v{own_layout}")) }
    }

    /// Those of the program that is there: of our layout, or else of the newest that was loaded to its end.
    pub(super) fn found(&self) -> Result<Self, Error> {
        let own = Self::new(&self.directory, self.own_layout);
        if own.fingerprint()?.is_some() {
            return Ok(own);
        }
        for layout in self.layouts()?.into_iter().rev() {
            let other = Self { at: self.directory.join(format!("v{layout}")), ..own.clone() };
            if other.fingerprint()?.is_some() {
                return Ok(other);
            }
        }
        Ok(own)
    }

    pub(super) fn fail(&self, operation: &'static str, cause: impl Into<String>) -> Error {
        Error::new(Kind::Source, format!("bpf {}", self.directory.display()), operation, cause)
    }

    /// As [`Self::fail`], for an error of the file system.
    pub(super) fn failed(&self, operation: &'static str, error: &io::Error) -> Error {
        let made = self.fail(operation, reason(error));
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => made
                .with_kind(Kind::PermissionDenied)
                .with_hint("let the directory in the BPF file system be this user's; its names have no dots"),
            _ => made,
        }
    }

    /// Makes the directory, and mounts the file system where there is none and we may.
    pub(super) fn make(&self) -> Result<(), Error> {
        self.need_file_system()?;
        fs::create_dir_all(&self.at).map_err(|error| self.failed("make the directory", &error))
    }

    fn need_file_system(&self) -> Result<(), Error> {
        let failed = |error: &io::Error| self.failed("look for a BPF file system", error);
        let there = self.directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        if is_bpf(there).map_err(|error| failed(&error))? {
            return Ok(());
        }
        let hint = "`nsenter --net=/run/netns/NAME` in place of `ip netns exec`, which hides it, or netns in the meter; \
                    where the machine has none: mount -t bpf bpf /sys/fs/bpf, in the mount namespace of its first process";
        let missing = |cause: String| self.fail("look for a BPF file system", cause).with_hint(hint);
        if there != Path::new(MOUNT_POINT) {
            return Err(missing(format!("{} is not in one", there.display())));
        }
        // In a mount namespace of our own, or in one that may be, what we mount and pin would go with us.
        let ours = fs::read_link("/proc/thread-self/ns/mnt").map_err(|error| failed(&error))?;
        if !fs::read_link("/proc/1/ns/mnt").is_ok_and(|first| first == ours) {
            return Err(missing(format!("{MOUNT_POINT} is not one in this mount namespace")));
        }
        mount(there).map_err(|error| missing(format!("{MOUNT_POINT} is not one: mount: {}", reason(&error))))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    /// Whether it is there, and not something else in its place.
    pub(super) fn has(&self, name: &str) -> bool {
        self.is_ours(name)
    }

    pub(super) fn is_of_own_layout(&self) -> bool {
        self.at.ends_with(format!("v{}", self.own_layout))
    }

    /// The directory, and the one of the layout in it.
    pub(super) fn directories(&self) -> (&Path, &Path) {
        (&self.directory, &self.at)
    }

    /// As [`Self::failed`], for one name: something else may be in its place.
    fn failed_at(&self, name: &str, operation: &'static str, error: &io::Error) -> Error {
        self.stranger_at(name).unwrap_or_else(|| {
            let made = self.failed(operation, error);
            Error { subject: format!("bpf {}", self.path(name).display()), ..made }
        })
    }

    /// Pins under a name, in place of what has it.
    pub(super) fn pin(&self, name: &str, descriptor: &OwnedFd) -> Result<(), Error> {
        self.unpin(name)?;
        pin(descriptor, &self.path(name)).map_err(|error| self.failed_at(name, "pin", &error))
    }

    pub(super) fn unpin(&self, name: &str) -> Result<(), Error> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.failed_at(name, "unpin", &error)),
            _ => Ok(()),
        }
    }

    pub(super) fn open(&self, name: &str) -> Result<OwnedFd, Error> {
        open_pinned(&self.path(name)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => self.fail("open", format!("{name} is missing")),
            _ => self.failed_at(name, "open", &error),
        })
    }

    /// The names that are there; none where there is no directory.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.at) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| self.failed("list", &error))?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<io::Result<Vec<_>>>().map_err(|error| self.failed("list", &error))?;
        names.sort();
        Ok(names)
    }

    /// What a symbolic link says that points nowhere; None: it is not there.
    pub(super) fn read_text(&self, name: &str) -> Result<Option<String>, Error> {
        match fs::read_link(self.path(name)) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed_at(name, "read a pin", &error)),
        }
    }

    pub(super) fn write_text(&self, name: &str, text: &str) -> Result<(), Error> {
        self.unpin(name)?;
        symlink(text, self.path(name)).map_err(|error| self.failed_at(name, "pin", &error))
    }

    pub(super) fn fingerprint(&self) -> Result<Option<String>, Error> {
        self.read_text(FINGERPRINT)
    }

    /// Says that all is there.
    pub(super) fn set_fingerprint(&self, fingerprint: &str) -> Result<(), Error> {
        self.write_text(FINGERPRINT, fingerprint)
    }

    /// What is pinned under a name in the directories beside ours.
    pub(super) fn open_beside(&self, name: &str) -> Result<Vec<OwnedFd>, Error> {
        let Some(parent) = self.directory.parent() else { return Ok(Vec::new()) };
        let entries = match fs::read_dir(parent) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| self.failed("list", &error))?,
        };
        let others = entries.flatten().map(|entry| entry.path()).filter(|path| *path != self.directory);
        Ok(others
            .filter_map(|path| open_pinned(&Self::new(&path, self.own_layout).found().ok()?.path(name)).ok())
            .collect())
    }

    /// The layouts of which there are directories.
    fn layouts(&self) -> Result<Vec<u32>, Error> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| self.failed("list", &error))?,
        };
        let number =
            |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.strip_prefix('v')?.parse().ok();
        let mut layouts: Vec<_> = entries.filter_map(number).collect();
        layouts.sort_unstable();
        Ok(layouts)
    }

    /// That of the program that is there, whole or not.
    pub(super) fn layout(&self) -> Result<Option<u32>, Error> {
        let at = self.found()?.at;
        let found = self.layouts()?;
        let whole = found.iter().copied().find(|layout| at.ends_with(format!("v{layout}")));
        Ok(whole.or(found.last().copied()))
    }

    /// Takes everything of the layout away, what says that it is whole first; and the directory, if nothing else is in it.
    /// What is not ours stays.
    pub(super) fn remove(&self) -> Result<(), Error> {
        if self.is_ours(FINGERPRINT) {
            self.unpin(FINGERPRINT)?;
        }
        for name in self.names()?.into_iter().filter(|name| self.is_ours(name)) {
            self.unpin(&name)?;
        }
        for directory in [&self.at, &self.directory] {
            match fs::remove_dir(directory) {
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                    return Err(self.failed("remove the directory", &error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The name that the rows of a generation are pinned by.
pub(super) fn rows_name(generation: u64) -> String {
    format!("{ROWS}{generation}")
}

/// The generation of such a name.
pub(super) fn generation_of(name: &str) -> Option<u64> {
    name.strip_prefix(ROWS)?.parse().ok()
}
