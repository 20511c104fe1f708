//! A loaded program: its number, its slots, what is pinned of it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Kind};
use crate::posting::KeySpec;
use crate::sys::bpf::{Map, MapForm, cpus, program_id};
use crate::sys::mapping::Mapping;

use super::layout::{LAYOUT, RECEIPT_BYTES, Receipt, SIDE_SHIFT, SLOTS};
use super::links::Links;
use super::object::{Loaded, rows_form};
use super::pins::{Pins, generation_of, rows_name};
use super::reading::Books;
use super::settings::Wanted;
use super::trouble::explain;
use super::{AttachPoint, Config, Hook};

const CONTROL: &str = "control";
const SLOTS_PIN: &str = "slots";
const RECEIPTS: &str = "receipts";
const ABOUT: &str = "about";

/// What a process that takes the program over must know of it, whatever its own configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    /// Without networks: they are no part of how rows are read.
    pub(super) spec: KeySpec,
    pub(super) key_bytes: u32,
    pub(super) rows_max: u32,
    pub(super) side: u8,
    pub(super) attach: AttachPoint,
    pub(super) hooks: Vec<Hook>,
    pub(super) priority: i32,
}

const ABOUT_WORDS: usize = 16;
const HOOKS: [Hook; 3] = [Hook::Input, Hook::Forward, Hook::Output];

impl About {
    pub(super) fn of(config: &Config, wanted: &Wanted) -> Self {
        Self {
            spec: KeySpec { local: Vec::new(), ..config.spec.clone() },
            key_bytes: wanted.settings.key_bytes,
            rows_max: config.rows_max,
            side: config.side,
            attach: config.attach,
            hooks: config.active_hooks(),
            priority: config.priority,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let hooks = HOOKS.iter().enumerate().map(|(bit, hook)| u64::from(self.hooks.contains(hook)) << bit);
        let words = [
            u64::from(self.spec.columns),
            u64::from(self.spec.ipv4_prefix_length),
            u64::from(self.spec.ipv6_prefix_length),
            u64::from(self.key_bytes),
            u64::from(self.rows_max),
            u64::from(self.side),
            u64::from(self.attach == AttachPoint::Tcx),
            hooks.sum(),
            i64::from(self.priority).cast_unsigned(),
        ];
        let padded = words.into_iter().chain(std::iter::repeat(0)).take(ABOUT_WORDS);
        padded.flat_map(u64::to_ne_bytes).collect()
    }

    /// None if the bytes are not what [`Self::bytes`] gives.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<8>();
        let word = |at: usize| words.get(at).map(|word| u64::from_ne_bytes(*word));
        let hooks = word(7)?;
        Some(Self {
            spec: KeySpec {
                columns: word(0)?.try_into().ok()?,
                ipv4_prefix_length: word(1)?.try_into().ok()?,
                ipv6_prefix_length: word(2)?.try_into().ok()?,
                local: Vec::new(),
            },
            key_bytes: word(3)?.try_into().ok().filter(|bytes| [16, 32, 48].contains(bytes))?,
            rows_max: word(4)?.try_into().ok()?,
            side: word(5)?.try_into().ok()?,
            attach: if word(6)? == 0 { AttachPoint::Netfilter } else { AttachPoint::Tcx },
            hooks: HOOKS
                .into_iter()
                .enumerate()
                .filter(|(bit, _)| hooks >> bit & 1 == 1)
                .map(|(_, hook)| hook)
                .collect(),
            priority: word(8)?.cast_signed().try_into().ok()?,
        })
    }
}

/// What is open of a program. Everything that is pinned is held as well, so that it is there when a pin is not.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) pins: Pins,
    pub(super) about: About,
    fingerprint: String,
    number: Mapping,
    maps: [(&'static str, Map); 4],
    programs: Vec<(&'static str, OwnedFd)>,
    pub(super) links: Mutex<Links>,
    rows: Mutex<BTreeMap<u64, Arc<Map>>>,
    pub(super) books: Mutex<Books>,
}

/// The generation number of the program in a directory.
pub(super) fn control_of(pins: &Pins) -> Result<Map, Error> {
    pins.open(CONTROL).and_then(|descriptor| Map::of(descriptor).map_err(|error| pins.failed("open", &error)))
}

impl Opened {
    /// Pins what was loaded, the fingerprint last.
    pub(super) fn pin(pins: Pins, loaded: Loaded, about: About, fingerprint: String) -> Result<Self, Error> {
        let form = MapForm { key_bytes: 4, value_bytes: ABOUT_WORDS * size_of::<u64>(), entries_max: 1 };
        let made = Map::array(form).and_then(|map| map.update(0, &about.bytes()).map(|()| map));
        let map = made.map_err(|error| explain("make a map", &error, about.attach, ""))?;
        let maps = [(CONTROL, loaded.control), (SLOTS_PIN, loaded.slots), (RECEIPTS, loaded.receipts), (ABOUT, map)];
        let opened = Self::new(pins, about, fingerprint, maps, loaded.programs, BTreeMap::new())?;
        opened.pinned(Pins::pin)?;
        opened.pins.set_fingerprint(&opened.fingerprint)?;
        Ok(opened)
    }

    pub(super) fn open(pins: Pins) -> Result<Self, Error> {
        let Some(fingerprint) = pins.fingerprint()? else {
            return Err(match pins.layout()? {
                Some(layout) if layout != LAYOUT => pins
                    .fail("open", format!("it is of layout {layout}, and this program knows {LAYOUT}"))
                    .with_kind(Kind::NotSupported)
                    .with_hint("let the version that made it end it, or remove the directory: what it counted is lost"),
                Some(_) => {
                    pins.fail("open", "fingerprint is missing: it was never loaded to the end, or is being removed")
                }
                None => pins.fail("open", "nothing is pinned there"),
            });
        };
        let map = |name| {
            let opened = pins.open(name).and_then(|fd| Map::of(fd).map_err(|error| pins.failed("open", &error)));
            opened.map(|map| (name, map))
        };
        let maps = [map(CONTROL)?, map(SLOTS_PIN)?, map(RECEIPTS)?, map(ABOUT)?];
        let [_, _, (_, receipts), (_, about)] = &maps;
        let mut bytes = vec![0; about.form.value_bytes];
        about.look_up(0, &mut bytes).map_err(|error| pins.failed("read", &error))?;
        let about = About::from_bytes(&bytes).filter(|_| receipts.form.value_bytes == RECEIPT_BYTES);
        let about = about.ok_or_else(|| pins.fail("open", "what it says of itself is not of this layout"))?;
        let programs = about.attach.programs().iter().map(|&(name, _)| Ok((name, pins.open(name)?)));
        let programs = programs.collect::<Result<_, Error>>()?;
        let mut rows = BTreeMap::new();
        for name in pins.names()? {
            if let Some(generation) = generation_of(&name) {
                rows.insert(generation, Arc::new(map_of(&pins, &name)?));
            }
        }
        let opened = Self::new(pins, about, fingerprint, maps, programs, rows)?;
        opened.links().take_pinned(&opened.pins)?;
        Ok(opened)
    }

    fn new(
        pins: Pins,
        about: About,
        fingerprint: String,
        maps: [(&'static str, Map); 4],
        programs: Vec<(&'static str, OwnedFd)>,
        rows: BTreeMap<u64, Arc<Map>>,
    ) -> Result<Self, Error> {
        let [(_, control), ..] = &maps;
        let number = control.mapped().map_err(|error| pins.failed("map the generation number", &error))?;
        let (links, rows, books) = (Mutex::default(), Mutex::new(rows), Mutex::default());
        Ok(Self { pins, about, fingerprint, number, maps, programs, links, rows, books })
    }

    pub(super) fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rows(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Map>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> &Map {
        let [_, (_, slots), ..] = &self.maps;
        slots
    }

    fn receipts(&self) -> &Map {
        let [_, _, (_, receipts), _] = &self.maps;
        receipts
    }

    /// The program of a pin's name, and the number that the kernel knows it by.
    pub(super) fn program(&self, name: &str) -> Result<(&OwnedFd, u32), Error> {
        let found = self.programs.iter().find(|(pin, _)| *pin == name).map(|(_, program)| program);
        let program = found.ok_or_else(|| self.pins.fail("attach", format!("{name} is missing")))?;
        Ok((program, program_id(program).map_err(|error| self.pins.failed("attach", &error))?))
    }

    /// Maps and programs, by their pins; rows and links have their own ways.
    fn pinned(&self, mut each: impl FnMut(&Pins, &str, &OwnedFd) -> Result<(), Error>) -> Result<(), Error> {
        for (name, map) in &self.maps {
            each(&self.pins, name, map.descriptor())?;
        }
        for (name, program) in &self.programs {
            each(&self.pins, name, program)?;
        }
        for (generation, rows) in self.rows().iter() {
            each(&self.pins, &rows_name(*generation), rows.descriptor())?;
        }
        Ok(())
    }

    /// Pins again what is not pinned any more. Says what it was.
    fn mend_pins(&self) -> Result<Vec<(String, bool)>, Error> {
        let mut wrong = Vec::new();
        self.pinned(|pins, name, descriptor| {
            if !pins.has(name) {
                pins.make()?;
                pins.pin(name, descriptor)?;
                wrong.push((format!("pin {name} was removed"), false));
            }
            Ok(())
        })?;
        if self.pins.fingerprint()?.as_deref() != Some(&self.fingerprint) {
            self.pins.set_fingerprint(&self.fingerprint)?;
            wrong.push(("pin fingerprint was removed".to_owned(), false));
        }
        Ok(wrong)
    }

    pub(super) fn mend(&self) -> Result<Vec<(String, bool)>, Error> {
        let mut wrong = self.mend_pins()?;
        wrong.extend(self.mend_links()?);
        Ok(wrong)
    }

    fn word(&self) -> Result<&AtomicU64, Error> {
        self.number.words().first().ok_or_else(|| self.pins.fail("read the generation number", "it is not there"))
    }

    pub(super) fn generation(&self) -> Result<u64, Error> {
        Ok(self.own(self.word()?.load(SeqCst)))
    }

    /// The number without its side, if that is ours.
    fn own(&self, word: u64) -> u64 {
        if word >> SIDE_SHIFT == u64::from(self.about.side) { word & ((1 << SIDE_SHIFT) - 1) } else { 0 }
    }

    #[allow(clippy::unnecessary_wraps, reason = "all calls of a meter are alike")]
    pub(super) fn generations(&self) -> Result<Vec<u64>, Error> {
        Ok(self.rows().keys().copied().collect())
    }

    /// The rows of a generation.
    pub(super) fn rows_of(&self, generation: u64, operation: &'static str) -> Result<Arc<Map>, Error> {
        let rows = self.rows().get(&generation).cloned();
        rows.ok_or_else(|| self.pins.fail(operation, format!("there is no generation {generation}")))
    }

    pub(super) fn prepare(&self, generation: u64) -> Result<(), Error> {
        let fail = |error: std::io::Error| explain("prepare", &error, self.about.attach, "");
        if generation == 0 || generation >> SIDE_SHIFT != 0 {
            return Err(self.pins.fail("prepare", format!("{generation} can be no generation")));
        }
        let mut rows = self.rows();
        // The pin is the last thing that is made: where it is, everything is.
        if rows.contains_key(&generation) {
            return Ok(());
        }
        if let Some(other) = rows.keys().find(|other| slot(**other) == slot(generation)) {
            let cause = format!("generation {other} is in the slot of generation {generation}");
            return Err(self.pins.fail("prepare", cause));
        }
        let map = Map::hash(rows_form(self.about.key_bytes, self.about.rows_max)).map_err(fail)?;
        // Nobody who adds up receipts may find the old one gone and the rest not yet changed.
        let books = self.books();
        let zeros = vec![0; RECEIPT_BYTES * cpus().map_err(fail)?];
        self.receipts().update(slot(generation), &zeros).map_err(fail)?;
        drop(books);
        self.slots().install(slot(generation), &map).map_err(fail)?;
        self.pins.pin(&rows_name(generation), map.descriptor())?;
        rows.insert(generation, Arc::new(map));
        Ok(())
    }

    pub(super) fn switch(&self, generation: u64) -> Result<(), Error> {
        let word = self.word()?;
        if generation == 0 {
            // What is open on another side is not ours to end.
            let _not_ours = word.fetch_update(SeqCst, SeqCst, |now| (self.own(now) != 0).then_some(0));
            return Ok(());
        }
        self.rows_of(generation, "switch")?;
        word.store(u64::from(self.about.side) << SIDE_SHIFT | generation, SeqCst);
        Ok(())
    }

    /// The kernel waits for running programs when an element of a map of maps is written, and only then
    /// (`maybe_wait_bpf_programs` in kernel/bpf/syscall.c). So what is there is written once more.
    pub(super) fn settle(&self) -> Result<(), Error> {
        let rows = self.rows();
        let Some((generation, map)) = rows.first_key_value() else { return Ok(()) };
        let installed = self.slots().install(slot(*generation), map);
        installed.map_err(|error| explain("settle", &error, self.about.attach, ""))
    }

    pub(super) fn discard(&self, generation: u64) -> Result<(), Error> {
        let mut rows = self.rows();
        if self.generation()? == generation && generation != 0 {
            return Err(self.pins.fail("discard", format!("generation {generation} is open")));
        }
        self.pins.unpin(&rows_name(generation))?;
        rows.remove(&generation);
        Ok(())
    }

    /// What a slot has counted beside its rows.
    pub(super) fn slot_receipt(&self, generation: u64) -> Result<Receipt, Error> {
        let fail = |error: std::io::Error| explain("read the receipt", &error, self.about.attach, "");
        let mut bytes = vec![0; RECEIPT_BYTES * cpus().map_err(fail)?];
        self.receipts().look_up(slot(generation), &mut bytes).map_err(fail)?;
        Ok(Receipt::sum(&bytes))
    }
}

fn map_of(pins: &Pins, name: &str) -> Result<Map, Error> {
    pins.open(name).and_then(|descriptor| Map::of(descriptor).map_err(|error| pins.failed("open", &error)))
}

fn slot(generation: u64) -> u32 {
    u32::try_from(generation % u64::from(SLOTS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_of_itself_is_read_again() {
        let config = Config { side: 2, priority: -7, rows_max: 9, ..Config::everything(AttachPoint::Tcx) };
        let about = About::of(&config, &Wanted::of(&config).unwrap());
        assert_eq!(About::from_bytes(&about.bytes()), Some(about.clone()));
        assert_eq!(About::from_bytes(&about.bytes()[..64]), None);
        assert_eq!(About::from_bytes(&[0; 128]), None, "no key has no bytes");
        let output = About { hooks: vec![Hook::Output], attach: AttachPoint::Netfilter, ..about };
        assert_eq!(About::from_bytes(&output.bytes()), Some(output));
    }

    #[test]
    fn a_generation_has_the_slot_of_its_last_bit() {
        assert_eq!([1, 2, 3, u64::MAX].map(slot), [1, 0, 1, 1]);
    }
}
