//! A loaded program: its number, its slots, what is pinned of it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Kind};
use crate::sys::bpf::{Map, MapForm, cpus, program_id};
use crate::sys::mapping::Mapping;

use super::about::{ABOUT_BYTES, About};
use super::layout::{SIDE_SHIFT, SLOTS};
use super::links::{Links, NAMESPACE};
use super::object::{Loaded, rows_form};
use super::pins::{Pins, generation_of, rows_name};
use super::reading::Books;
use super::receipt::Receipt;
use super::trouble::explain;

const CONTROL: &str = "control";
const SLOTS_PIN: &str = "slots";
const RECEIPTS: &str = "receipts";
const ABOUT: &str = "about";

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
    /// Why something that is held cannot be pinned at present.
    unpinned: Mutex<Option<Error>>,
    rows: Mutex<BTreeMap<u64, Arc<Map>>>,
    pub(super) books: Mutex<Books>,
}

impl About {
    /// Of what is pinned.
    pub(super) fn read(pins: &Pins) -> Result<Self, Error> {
        let map = map_of(pins, ABOUT)?;
        let mut bytes = vec![0; map.form.value_bytes];
        map.look_up(0, &mut bytes).map_err(|error| pins.failed("read", &error))?;
        Self::from_bytes(&bytes).ok_or_else(|| {
            let made = pins
                .fail("open", "what it says of itself is not understood: it is of a version that does it otherwise");
            let hint = "let the version that made it end it, or remove the directory: what it counted is lost";
            made.with_kind(Kind::NotSupported).with_hint(hint)
        })
    }
}

/// The generation number of the program in a directory.
pub(super) fn control_of(pins: &Pins) -> Result<Map, Error> {
    map_of(&pins.found()?, CONTROL)
}

impl Opened {
    /// Pins what was loaded, the fingerprint last.
    pub(super) fn pin(pins: Pins, loaded: Loaded, about: About, fingerprint: String) -> Result<Self, Error> {
        let form = MapForm { key_bytes: 4, value_bytes: ABOUT_BYTES, entries_max: 1 };
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
            let is_there = pins.layout()?.is_some();
            let half = "fingerprint is missing: it was never loaded to the end, or is being removed";
            return Err(pins.fail("open", if is_there { half } else { "nothing is pinned there" }));
        };
        let about = About::read(&pins)?;
        let map = |name| map_of(&pins, name).map(|map| (name, map));
        let maps = [map(CONTROL)?, map(SLOTS_PIN)?, map(RECEIPTS)?, map(ABOUT)?];
        let receipt_bytes = about.receipt.bytes_of(cpus().map_err(|error| pins.failed("open", &error))?);
        let [_, (_, slots), (_, receipts), _] = &maps;
        for (name, map, bytes) in [(SLOTS_PIN, slots, size_of::<u32>()), (RECEIPTS, receipts, receipt_bytes)] {
            map.fits(bytes).map_err(|_| pins.fail("open", format!("{name} is another map")))?;
        }
        let programs = about.attach.programs().iter().map(|&(name, _)| Ok((name, pins.open(name)?)));
        let programs = programs.collect::<Result<_, Error>>()?;
        let mut rows = BTreeMap::new();
        for name in pins.names()? {
            if let Some(generation) = generation_of(&name) {
                let map = map_of(&pins, &name)?;
                let wanted = rows_form(about.key_bytes, map.form.entries_max);
                if !map.is_hash() || map.form != wanted {
                    return Err(pins.fail("open", format!("{name} is another map")));
                }
                rows.insert(generation, Arc::new(map));
            }
        }
        let opened = Self::new(pins, about, fingerprint, maps, programs, rows)?;
        let is_counting = opened.generation()? != 0;
        opened.links().take_pinned(&opened.pins, is_counting)?;
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
        let (links, unpinned, rows, books) = (Mutex::default(), Mutex::default(), Mutex::new(rows), Mutex::default());
        Ok(Self { pins, about, fingerprint, number, maps, programs, links, unpinned, rows, books })
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

    fn unpinned_lock(&self) -> MutexGuard<'_, Option<Error>> {
        self.unpinned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why something that is held could not be pinned when it was tried last. It would go with this process.
    #[allow(clippy::unnecessary_wraps, reason = "all calls of a meter are alike")]
    pub(super) fn unpinned(&self) -> Result<Option<Error>, Error> {
        Ok(self.unpinned_lock().clone())
    }

    /// What cannot be pinned is held all the same, and tried again by each [`Self::mend`]: it counts on.
    pub(super) fn hold(&self, pinned: Result<(), Error>) {
        if let Err(error) = pinned {
            *self.unpinned_lock() = Some(error);
        }
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
        let mut mend = |pins: &Pins, name: &str, descriptor: &OwnedFd| {
            if !pins.has(name) {
                pins.make()?;
                pins.pin(name, descriptor)?;
                wrong.push((format!("pin {name} was removed"), false));
            }
            Ok(())
        };
        self.pinned(&mut mend)?;
        self.pinned_links(&mut mend)?;
        if self.mend_namespace()? {
            wrong.push((format!("pin {NAMESPACE} was removed"), false));
        }
        if self.pins.fingerprint()?.as_deref() != Some(&self.fingerprint) {
            self.pins.set_fingerprint(&self.fingerprint)?;
            wrong.push(("pin fingerprint was removed".to_owned(), false));
        }
        Ok(wrong)
    }

    /// Whether it is of another layout, and there to be drained.
    #[allow(clippy::unnecessary_wraps, reason = "all calls of a meter are alike")]
    pub(super) fn is_draining(&self) -> Result<bool, Error> {
        Ok(self.about.layout != self.pins.own_layout)
    }

    pub(super) fn refuse_another_layout(&self, operation: &'static str) -> Result<(), Error> {
        if !self.is_draining()? {
            return Ok(());
        }
        let cause = format!("it is of layout {}: it can be drained, and no more", self.about.layout);
        Err(self.pins.fail(operation, cause))
    }

    pub(super) fn mend(&self) -> Result<Vec<(String, bool)>, Error> {
        if self.is_draining()? {
            return Ok(Vec::new());
        }
        let was_unpinned = self.unpinned_lock().take().is_some();
        let mut wrong = match self.mend_pins() {
            // That all of it was not there is told by who asked why.
            Ok(pins) => {
                if was_unpinned {
                    Vec::new()
                } else {
                    pins
                }
            }
            Err(error) => {
                self.hold(Err(error));
                Vec::new()
            }
        };
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
        self.refuse_another_layout("prepare")?;
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
        let zeros = vec![0; self.about.receipt.bytes_of(cpus().map_err(fail)?)];
        self.receipts().update(slot(generation), &zeros).map_err(fail)?;
        drop(books);
        self.slots().install(slot(generation), &map).map_err(fail)?;
        self.hold(self.pins.pin(&rows_name(generation), map.descriptor()));
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
        self.refuse_another_layout("switch")?;
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
        let mut bytes = vec![0; self.about.receipt.bytes_of(cpus().map_err(fail)?)];
        self.receipts().look_up(slot(generation), &mut bytes).map_err(fail)?;
        Ok(Receipt::sum(&self.about.receipt, &bytes))
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
    fn a_generation_has_the_slot_of_its_last_bit() {
        assert_eq!([1, 2, 3, u64::MAX].map(slot), [1, 0, 1, 1]);
    }
}
