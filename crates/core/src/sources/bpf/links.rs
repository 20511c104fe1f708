//! Where the program hangs: made, looked at, made again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, reason};
use crate::sys::bpf_links::{attach_netfilter, attach_tcx, detach, link_info, programs_at_tcx};

use super::opened::Opened;
use super::pins::Pins;
use super::places::{FAMILIES, LINK, LOOPBACK, Place, priorities};
use super::trouble::explain;
use super::{AttachPoint, Hook};

/// A symbolic link that says in which network namespace it hangs.
pub(super) const NAMESPACE: &str = "namespace";
/// A link whose pin is removed and that nobody has open ends some time later: the kernel waits for RCU, then for a worker.
const ENDING_MAX: Duration = Duration::from_millis(300);
const ENDING_STEP: Duration = Duration::from_millis(5);
/// One place where the program hangs, or should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    pub name: String,
    pub interface_index: Option<u32>,
    pub is_pinned: bool,
    pub is_attached: bool,
}

/// The links that are held, by the names of their pins.
#[derive(Debug, Default)]
pub(super) struct Links {
    held: BTreeMap<String, OwnedFd>,
    /// It was attached to netfilter's hooks: all of them are to be there.
    is_at_hooks: bool,
    /// Where.
    namespace: Option<String>,
}

impl Links {
    /// `is_counting`: it hangs at its hooks, or should. That no link is pinned says that somebody has removed them all.
    pub(super) fn take_pinned(&mut self, pins: &Pins, is_counting: bool) -> Result<(), Error> {
        self.is_at_hooks = is_counting;
        for name in pins.names()?.into_iter().filter(|name| name.starts_with(LINK) && pins.is_ours(name)) {
            self.held.insert(name.clone(), pins.open(&name)?);
            self.is_at_hooks = true;
        }
        self.namespace = pins.read_text(NAMESPACE)?;
        Ok(())
    }

    fn is_here(&self) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == here())
    }
}

/// The network namespace of the thread.
fn here() -> String {
    fs::read_link("/proc/thread-self/ns/net").map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned())
}

/// Detaches what is pinned, of a program that nobody has open.
pub(super) fn detach_pinned(pins: &Pins) -> Result<(), Error> {
    let mut links = Links::default();
    links.take_pinned(pins, false)?;
    for (name, link) in links.held {
        take_off(pins, &name, &link)?;
    }
    Ok(())
}

fn take_off(pins: &Pins, name: &str, link: &OwnedFd) -> Result<(), Error> {
    // One that is detached already says so in various ways; that it hangs nowhere is what is wanted.
    if let Err(error) = detach(link)
        && error.raw_os_error() == Some(libc::EPERM)
    {
        return Err(pins.failed("detach", &error));
    }
    pins.unpin(name)
}

impl Opened {
    fn hook_places(&self) -> Vec<Place> {
        if self.about.attach == AttachPoint::Tcx {
            return Vec::new();
        }
        let of_hook = |&hook: &Hook| FAMILIES.map(|(family, _)| Place::Netfilter { hook, family });
        self.about.hooks.iter().flat_map(of_hook).collect()
    }

    pub(super) fn attach(&self) -> Result<(), Error> {
        if self.about.attach == AttachPoint::Tcx {
            return Err(self.pins.fail("attach", "it is for interfaces, and not for netfilter hooks"));
        }
        self.refuse_another_layout("attach")?;
        let mut links = self.links();
        self.come_here(&mut links)?;
        let mut patience = Patience::default();
        for place in self.hook_places() {
            self.hang(&mut links, place, &mut patience)?;
        }
        links.is_at_hooks = true;
        Ok(())
    }

    pub(super) fn attach_interface(&self, index: u32, name: &str) -> Result<(), Error> {
        if self.about.attach == AttachPoint::Netfilter {
            return Err(self.pins.fail("attach", "it is for netfilter hooks, and not for interfaces"));
        }
        self.refuse_another_layout("attach")?;
        let mut links = self.links();
        self.come_here(&mut links)?;
        let mut patience = Patience::default();
        for is_ingress in [true, false] {
            // What leaves by loopback comes in by it.
            if is_ingress || index != LOOPBACK {
                self.hang(&mut links, Place::Tcx { index, is_ingress }, &mut patience)
                    .map_err(|error| Error { subject: format!("interface {name}"), ..error })?;
            }
        }
        Ok(())
    }

    /// Takes off what hangs in another network namespace than the thread's. Returns what did.
    fn come_here(&self, links: &mut Links) -> Result<Vec<String>, Error> {
        let here = here();
        if links.namespace.as_ref() == Some(&here) {
            return Ok(Vec::new());
        }
        let mut left = Vec::new();
        while let Some((name, link)) = links.held.pop_first() {
            take_off(&self.pins, &name, &link)?;
            left.push(name);
        }
        self.hold(self.pins.write_text(NAMESPACE, &here));
        links.namespace = Some(here);
        Ok(left)
    }

    /// The links that are held, by their pins.
    pub(super) fn pinned_links(
        &self,
        mut each: impl FnMut(&Pins, &str, &OwnedFd) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.links().held.iter().try_for_each(|(name, link)| each(&self.pins, name, link))
    }

    /// Whether what says in which network namespace they hang had to be made again.
    pub(super) fn mend_namespace(&self) -> Result<bool, Error> {
        let mut links = self.links();
        if links.namespace.is_none() && (links.is_at_hooks || !links.held.is_empty()) {
            // Removed while nobody lived. Who takes it over is where it hung: its facts say so as well.
            links.namespace = Some(here());
        }
        let Some(namespace) = links.namespace.clone() else { return Ok(false) };
        drop(links);
        if self.pins.has(NAMESPACE) {
            return Ok(false);
        }
        self.pins.write_text(NAMESPACE, &namespace).map(|()| true)
    }

    pub(super) fn detach_interface(&self, index: u32) -> Result<(), Error> {
        let mut links = self.links();
        for is_ingress in [true, false] {
            let name = Place::Tcx { index, is_ingress }.name();
            if let Some(link) = links.held.remove(&name) {
                take_off(&self.pins, &name, &link)?;
            }
        }
        Ok(())
    }

    pub(super) fn detach(&self) -> Result<(), Error> {
        let mut links = self.links();
        links.is_at_hooks = false;
        while let Some((name, link)) = links.held.pop_first() {
            take_off(&self.pins, &name, &link)?;
        }
        Ok(())
    }

    /// Makes sure that it hangs there, by one link that is pinned. Returns whether that had to be made.
    fn hang(&self, links: &mut Links, place: Place, patience: &mut Patience) -> Result<bool, Error> {
        let name = place.name();
        let made = match links.held.get(&name) {
            None => self.make(place, patience)?,
            Some(link) => match self.look(place, link)? {
                Found::Attached => return Ok(false),
                Found::Replaced(made) => made,
                Found::Detached => {
                    take_off(&self.pins, &name, link)?;
                    links.held.remove(&name);
                    self.make(place, patience)?
                }
            },
        };
        self.hold(self.pins.pin(&name, &made));
        links.held.insert(name, made);
        Ok(true)
    }

    fn make(&self, place: Place, patience: &mut Patience) -> Result<OwnedFd, Error> {
        let (program, id) = self.program(place.program())?;
        match place {
            Place::Tcx { index, is_ingress } => {
                // A link that is about to end would count beside the new one.
                while programs_at_tcx(index, is_ingress).is_ok_and(|there| there.contains(&id)) && patience.lasts() {}
                attach_tcx(program, index, is_ingress).map_err(|error| self.refused(&error))
            }
            Place::Netfilter { hook, family } => {
                let taken = self.priorities_beside(&place.name())?;
                for priority in priorities(self.about.priority, &taken) {
                    loop {
                        match attach_netfilter(program, family, hook.number(), priority) {
                            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                                // Nobody's that we know: it may be one of ours that is about to end.
                                if taken.contains(&priority) || !patience.lasts() {
                                    break;
                                }
                            }
                            result => return result.map_err(|error| self.refused(&error)),
                        }
                    }
                }
                let busy = io::Error::from_raw_os_error(libc::EBUSY);
                Err(self.refused(&busy).with_hint("other BPF programs have all priorities of this hook"))
            }
        }
    }

    /// The priorities that programs have there whose directories lie beside ours.
    fn priorities_beside(&self, name: &str) -> Result<Vec<i32>, Error> {
        let links = self.pins.open_beside(name)?;
        Ok(links.iter().filter_map(|link| Some(link_info(link).ok()?.priority)).collect())
    }

    fn refused(&self, error: &io::Error) -> Error {
        let made = explain("attach", error, self.about.attach, "");
        if error.raw_os_error() == Some(libc::ENODEV) {
            return Error { cause: reason(error), ..made }.with_kind(Kind::NotFound);
        }
        made
    }

    /// A link of tcx has no interface any more when it is detached. One of netfilter says nothing: but the kernel refuses a BPF
    /// program where its priority is taken, so another link is refused as long as this one is there, and else takes its place.
    /// A chain of nft that was added at this very priority hides that it is not there any more.
    fn look(&self, place: Place, link: &OwnedFd) -> Result<Found, Error> {
        let info = link_info(link).map_err(|error| self.pins.failed("look at links", &error))?;
        match place {
            Place::Tcx { index, .. } if info.interface_index == index => Ok(Found::Attached),
            Place::Tcx { .. } => Ok(Found::Detached),
            Place::Netfilter { hook, family } => {
                let (program, _) = self.program(place.program())?;
                match attach_netfilter(program, family, hook.number(), info.priority) {
                    Ok(made) => Ok(Found::Replaced(made)),
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(Found::Attached),
                    Err(error) => Err(self.refused(&error)),
                }
            }
        }
    }

    fn is_attached(&self, place: Place, link: &OwnedFd) -> Result<bool, Error> {
        match self.look(place, link)? {
            Found::Attached => Ok(true),
            Found::Detached => Ok(false),
            Found::Replaced(made) => {
                // Closing it would do as well, but some time later.
                detach(&made).map_err(|error| self.pins.failed("look at links", &error))?;
                Ok(false)
            }
        }
    }

    #[allow(clippy::significant_drop_tightening, reason = "the links must not change while they are looked at")]
    pub(super) fn links_state(&self) -> Result<Vec<LinkState>, Error> {
        let links = self.links();
        let is_here = links.is_here();
        let missing = self.hook_places().into_iter().map(Place::name).filter(|name| !links.held.contains_key(name));
        let mut names: Vec<_> = links.held.keys().cloned().chain(missing).collect();
        names.sort();
        let state = |name: String| {
            let place = Place::of(&name);
            let held = place.zip(links.held.get(&name)).filter(|_| is_here);
            Ok(LinkState {
                interface_index: place.and_then(Place::interface_index),
                is_pinned: self.pins.has(&name),
                is_attached: held.map_or(Ok(false), |(place, link)| self.is_attached(place, link))?,
                name,
            })
        };
        names.into_iter().map(state).collect()
    }

    /// Links that somebody has detached are made again. Says what was wrong, and whether packets were missed.
    pub(super) fn mend_links(&self) -> Result<Vec<(String, bool)>, Error> {
        let mut links = self.links();
        let hooks = if links.is_at_hooks { self.hook_places() } else { Vec::new() };
        let left = if links.namespace.is_some() { self.come_here(&mut links)? } else { Vec::new() };
        let elsewhere = |name: &String| (format!("{} hung in another network namespace", spoken(name)), true);
        let mut wrong: Vec<_> = left.iter().map(elsewhere).collect();
        let mut places: Vec<_> = links.held.keys().filter_map(|name| Place::of(name)).collect();
        places.extend(hooks.into_iter().filter(|place| !links.held.contains_key(&place.name())));
        let mut patience = Patience::default();
        for place in places {
            let name = place.name();
            match self.hang(&mut links, place, &mut patience) {
                Ok(false) => {}
                // Told by now: it hung elsewhere.
                Ok(true) if left.contains(&name) => {}
                Ok(true) => wrong.push((format!("{} was detached", spoken(&name)), true)),
                // It went with its interface, and nothing passes there any more.
                Err(error) if error.kind == Kind::NotFound => {
                    wrong.push((format!("{} is gone with its interface", spoken(&name)), false));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(wrong)
    }
}

/// What a look at a link finds.
enum Found {
    Attached,
    Detached,
    /// It was detached, and this one is in its place.
    Replaced(OwnedFd),
}

/// How long links that are about to end are waited for: once for all that is attached together.
#[derive(Default)]
struct Patience(Option<Instant>);

impl Patience {
    /// Waits a little. False when that was long enough.
    fn lasts(&mut self) -> bool {
        let end = *self.0.get_or_insert_with(|| Instant::now() + ENDING_MAX);
        sleep(ENDING_STEP);
        Instant::now() < end
    }
}

/// `link-input-ipv4` in words.
fn spoken(name: &str) -> String {
    name.replacen('-', " ", 1)
}
