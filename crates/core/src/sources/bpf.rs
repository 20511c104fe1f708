//! A program in the kernel that counts by itself: loading it, hanging it up, cutting generations, reading them.

use std::path::{Path, PathBuf};

use crate::batch::InterfaceNames;
use crate::error::{Error, Kind};
use crate::live::{Glance, Order, Snapshot};
use crate::posting::{KeySpec, Network};
use crate::table::closed::Closed;
use crate::table::header::GroupState;

/// Where packets are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachPoint {
    Netfilter,
    Tcx,
}

/// The netfilter hooks at which each packet is met once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Input,
    Forward,
    Output,
}

/// What a meter is made of.
#[derive(Clone, Debug)]
pub struct Config {
    pub directory: PathBuf,
    pub spec: KeySpec,
    pub rows_max: u32,
    /// Whose the generation number is; 1 to 255. Two programs that share it are told apart by it.
    pub side: u8,
    pub attach: AttachPoint,
    pub hooks: Vec<Hook>,
    pub priority: i32,
    pub loopback: bool,
    pub interfaces: Vec<String>,
    pub interfaces_excluded: Vec<String>,
    pub networks: Vec<Network>,
    pub networks_excluded: Vec<Network>,
    /// Another object than the one that is built in.
    pub object_path: Option<PathBuf>,
}

/// One place where the program hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    pub name: String,
    pub interface_index: Option<u32>,
    pub is_pinned: bool,
    pub is_attached: bool,
}

/// The handle of a program and its maps. Any thread may use it.
#[derive(Debug)]
pub struct BpfMeter {
    config: Config,
}

impl BpfMeter {
    /// Touches nothing yet.
    ///
    /// # Errors
    /// What is asked for cannot be told to the program.
    pub fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { config })
    }

    fn none(&self, operation: &'static str) -> Error {
        Error::new(Kind::Source, format!("bpf {}", self.config.directory.display()), operation, "nothing is open")
    }
}

macro_rules! nothing_is_open {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {
        impl BpfMeter {
            $(
                /// # Errors
                /// Nothing is open.
                pub fn $name(&self, $($argument: $kind),*) -> Result<$result, Error> {
                    $(let _ = $argument;)*
                    Err(self.none(stringify!($name)))
                }
            )*
        }
    };
}
nothing_is_open! {
    fingerprint() -> String;
    load(control: Option<&Path>) -> ();
    open() -> ();
    pinned_fingerprint() -> Option<String>;
    pinned_layout() -> Option<u32>;
    generation() -> u64;
    generations() -> Vec<u64>;
    attach() -> ();
    attach_interface(index: u32, name: &str) -> ();
    detach_interface(index: u32) -> ();
    links() -> Vec<LinkState>;
    prepare(generation: u64) -> ();
    switch(generation: u64) -> ();
    settle() -> ();
    read(generation: u64, path: &Path) -> Closed;
    discard(generation: u64) -> ();
    receipt(generation: u64) -> (GroupState, crate::flow::Sums);
    glance() -> (Glance, GroupState);
    snapshot(names: &InterfaceNames, top: Option<(usize, Order)>) -> Snapshot;
    detach() -> ();
    remove() -> ();
}
impl BpfMeter {
    pub fn close(&self) {}
}

/// # Errors
/// Always, until there is a program.
pub fn check(attach: AttachPoint) -> Result<(), Error> {
    Err(Error::new(Kind::NotSupported, format!("bpf {attach:?}"), "load", "this build has no program"))
}
