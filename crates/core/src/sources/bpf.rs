//! A program in the kernel that counts by itself: loading it, hanging it up, cutting generations, reading them.
//!
//! Everything that must outlive this process is pinned ([`pins`]). There are two slots. Generation `n` is in slot `n & 1`:
//! its rows in a map of their own, what else it counted in a receipt per CPU. One number says which generation is open, and
//! each packet reads it once. So a cut is: write the number, wait for the packets that had read the one before ([`opened`]),
//! and read what nobody writes any more ([`reading`]).

mod about;
mod layout;
mod links;
mod names;
mod object;
mod opened;
mod pins;
mod places;
mod reading;
mod receipt;
mod rows;
mod settings;
mod strangers;
mod tables;
mod trouble;

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::InterfaceNames;
use crate::error::{Error, Kind, reason};
use crate::flow::Sums;
use crate::live::{Glance, Order, Snapshot};
use crate::posting::{KeySpec, Network};
use crate::table::closed::Closed;
use crate::table::header::GroupState;

pub use links::LinkState;
pub use trouble::log;

use about::About;
use opened::Opened;
use pins::Pins;
use settings::Wanted;

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

impl Config {
    /// Asks for everything that a program can do: what the verifier takes then, it takes always.
    fn everything(attach: AttachPoint) -> Self {
        let networks = |octets| vec![(crate::flow::Address::from_v4(octets), 8, true)];
        let columns = ["host", "peer", "protocol", "host_port", "peer_port", "interface"];
        let columns = KeySpec::columns_of(columns).unwrap_or_default();
        Self {
            directory: PathBuf::new(),
            spec: KeySpec { columns, local: networks([10, 0, 0, 0]), ..KeySpec::default() },
            rows_max: 1,
            side: 1,
            attach,
            hooks: vec![Hook::Input, Hook::Forward, Hook::Output],
            priority: 0,
            loopback: true,
            interfaces: vec!["a*".to_owned()],
            interfaces_excluded: vec!["b".to_owned()],
            networks: networks([11, 0, 0, 0]),
            networks_excluded: networks([12, 0, 0, 0]),
            object_path: None,
        }
    }

    /// With loopback alone there is nothing to count but at the output: what leaves by it comes in by it.
    fn active_hooks(&self) -> Vec<Hook> {
        let is_loopback_alone =
            names::wanted(&self.interfaces).is_ok_and(|names| names.wanted.is_some_and(|wanted| wanted.is_empty()));
        let all = [Hook::Input, Hook::Forward, Hook::Output];
        let is_active = |hook: &Hook| self.hooks.contains(hook) && (*hook == Hook::Output || !is_loopback_alone);
        all.into_iter().filter(is_active).collect()
    }

    fn object(&self) -> Result<Cow<'static, [u8]>, Error> {
        let Some(path) = &self.object_path else { return Ok(Cow::Borrowed(object::BUILT_IN)) };
        let failed = |error| Error::new(Kind::Source, path.display().to_string(), "read", reason(&error));
        fs::read(path).map(Cow::Owned).map_err(failed)
    }
}

/// The handle of a program and its maps. Any thread may use it.
#[derive(Debug)]
pub struct BpfMeter {
    config: Config,
    wanted: Wanted,
    pins: Pins,
    opened: Mutex<Option<Arc<Opened>>>,
}

impl BpfMeter {
    /// Touches nothing yet; reads the object, if another one is asked for.
    ///
    /// # Errors
    /// What is asked for cannot be told to the program.
    pub fn new(config: Config) -> Result<Self, Error> {
        let refuse = |cause| Error::new(Kind::Source, trouble::SUBJECT, "ask for", cause);
        let wanted = Wanted::of(&config).map_err(refuse)?;
        // Of an object that cannot be read the layout is of no consequence: whoever loads it is told.
        let layout = match &config.object_path {
            Some(_) => config.object().and_then(|bytes| object::layout(&bytes)).unwrap_or(layout::LAYOUT),
            None => layout::LAYOUT,
        };
        let pins = Pins::new(&config.directory, layout);
        Ok(Self { config, wanted, pins, opened: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Opened>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> Result<Arc<Opened>, Error> {
        self.lock().clone().ok_or_else(|| self.pins.fail("use", "nothing is open"))
    }

    /// Of what is asked for, and of the object.
    ///
    /// # Errors
    /// The object cannot be read.
    pub fn fingerprint(&self) -> Result<String, Error> {
        Ok(self.wanted.fingerprint(&self.config, &self.config.object()?))
    }

    /// Makes and pins everything; nothing is attached. With `control` the generation number is that of the program in
    /// another directory.
    ///
    /// # Errors
    /// There is a program already; the kernel cannot, may not or will not.
    pub fn load(&self, control: Option<&Path>) -> Result<(), Error> {
        self.pins.refuse_strangers()?;
        if self.pins.found()?.fingerprint()?.is_some() {
            return Err(self.pins.fail("load", "there is a program already"));
        }
        trouble::check_kernel(self.config.attach)?;
        let bytes = self.config.object()?;
        let control =
            control.map(|directory| opened::control_of(&Pins::new(directory, self.pins.own_layout))).transpose()?;
        let loaded = object::make(&bytes, self.config.attach, &self.wanted, control.as_ref())?;
        // What is half there was made by a process that died.
        self.pins.remove()?;
        self.pins.make()?;
        let fingerprint = self.wanted.fingerprint(&self.config, &bytes);
        let layout = object::layout(&bytes)?;
        let about = About::of(&self.config, &self.wanted, layout, loaded.receipt);
        let opened = Opened::pin(self.pins.clone(), loaded, about, fingerprint)?;
        *self.lock() = Some(Arc::new(opened));
        Ok(())
    }

    /// Takes over what is pinned; of another layout, to drain it.
    ///
    /// # Errors
    /// Nothing is, or not all of it; it is of a version that is not understood; a capability is missing.
    pub fn open(&self) -> Result<(), Error> {
        let opened = Opened::open(self.pins.found()?)?;
        *self.lock() = Some(Arc::new(opened));
        Ok(())
    }

    /// None: nothing is pinned, or not all of it.
    ///
    /// # Errors
    /// The file system's.
    pub fn pinned_fingerprint(&self) -> Result<Option<String>, Error> {
        self.pins.refuse_strangers()?;
        let found = self.pins.found()?;
        found.refuse_strangers()?;
        found.fingerprint()
    }

    /// None: nothing is pinned.
    ///
    /// # Errors
    /// The file system's.
    pub fn pinned_layout(&self) -> Result<Option<u32>, Error> {
        self.pins.layout()
    }

    /// Takes everything away, open or not, but for what is not understood.
    ///
    /// # Errors
    /// The file system's; what is there is not understood.
    pub fn remove(&self) -> Result<(), Error> {
        let opened = self.lock().take();
        if let Some(opened) = opened {
            opened.detach()?;
            opened.pins.remove()?;
        }
        let found = self.pins.found()?;
        if found.fingerprint()?.is_some() {
            About::read(&found)?;
        }
        // Links that are not whole are gone with their pins.
        links::detach_pinned(&found)?;
        found.remove()
    }

    /// Closes the descriptors; it goes on counting.
    pub fn close(&self) {
        drop(self.lock().take());
    }
}

macro_rules! of_what_is_open {
    ($($(#[$words:meta])* $name:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {
        impl BpfMeter {
            $(
                $(#[$words])*
                ///
                /// # Errors
                /// Nothing is open; the kernel's.
                pub fn $name(&self, $($argument: $kind),*) -> Result<$result, Error> {
                    self.opened()?.$name($($argument),*)
                }
            )*
        }
    };
}

of_what_is_open! {
    /// Whether it is of another layout, and can be drained only.
    is_draining() -> bool;
    /// The generation that is open; 0: none of this side.
    generation() -> u64;
    /// Those of which there are rows.
    generations() -> Vec<u64>;
    /// To all netfilter hooks.
    attach() -> ();
    /// To an interface.
    attach_interface(index: u32, name: &str) -> ();
    /// From an interface.
    detach_interface(index: u32) -> ();
    /// Where it hangs, or should.
    links_state() -> Vec<LinkState>;
    /// Pins and links that are missing are made again. Says what was wrong, and whether packets were missed.
    mend() -> Vec<(String, bool)>;
    /// Why something that is held could not be pinned when it was tried last; None: all is pinned.
    unpinned() -> Option<Error>;
    /// Makes room for a generation.
    prepare(generation: u64) -> ();
    /// Opens a generation; 0: none.
    switch(generation: u64) -> ();
    /// Waits for the packets that are under way.
    settle() -> ();
    /// Writes a generation that is frozen into a table file.
    read(generation: u64, path: &Path) -> Closed;
    /// Frees the rows of a generation.
    discard(generation: u64) -> ();
    /// What a generation has counted so far, and what of it is in no row of its own.
    receipt(generation: u64) -> (GroupState, Sums);
    /// How far the open generation is, and the sums over all that were open since this process has it.
    glance() -> (Glance, GroupState);
    /// The rows of what is not read yet.
    snapshot(names: &InterfaceNames, top: Option<(usize, Order)>) -> Snapshot;
    /// From everything.
    detach() -> ();
}

/// Loads a program as a meter would, and throws it away.
///
/// # Errors
/// The kernel cannot, may not or will not.
pub fn check(attach: AttachPoint) -> Result<(), Error> {
    trouble::check_kernel(attach)?;
    let config = Config::everything(attach);
    let wanted = Wanted::of(&config).map_err(|cause| Error::new(Kind::Source, trouble::SUBJECT, "ask for", cause))?;
    object::make(object::BUILT_IN, attach, &wanted, None).map(drop)
}
